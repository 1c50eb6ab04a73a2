"""Optimizes a prompt in the reference world with a rewriter of one's own, in this process.

The backbone has to know other wordings than the plain ones (`diffusion-probe reference train-backbone --paraphrase`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffusion_probe.prompting import PromptOptimizer, Wish
from diffusion_probe.reference.captions import Wording, parse
from diffusion_probe.reference.rewriting import require_same_meaning
from diffusion_probe.reference.selection import ReferenceBackend
from diffusion_probe.reference.source import ReferenceSource

ROOT = Path(__file__).parents[1]


class BackgroundFirst:
    """A rewriter: anything with a name that returns texts for a prompt. This one puts the background first."""

    name = "background-first"

    def __call__(self, prompt: str, count: int) -> Sequence[str]:
        caption = parse(prompt)
        orders = [order.text(Wording(background_first=True)) for order in caption.orders()]
        return [*orders, caption.text(Wording(background_first=True, definite=True))][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", default="a cat left of two keys on a blue background", help="what to draw")
    parser.add_argument("--reference", type=Path, default=ROOT / "reference", help="folder of the reference world")
    parser.add_argument("--probe", type=Path, default=ROOT / "models/pictogram/2", help="folder of a probe for it")
    parser.add_argument("--tau", type=float, default=0.5, help="rewrite below this score")
    parser.add_argument("--out", type=Path, default=Path("prompt-optimization.png"), help="the best image")
    options = parser.parse_args()
    backend = ReferenceBackend(ReferenceSource.load(options.reference))
    optimizer = PromptOptimizer(
        backend, BackgroundFirst(), Wish(tau=options.tau), probe=options.probe, check=require_same_meaning
    )
    answer = optimizer(options.prompt)
    print(f"{answer.decision}: the look has the score {answer.look.score:.3f}")
    for wording in answer.wordings:
        score = "not drawn" if wording.score is None else f"score {wording.score:.3f}"
        print("*" if wording.prompt == answer.chosen else " ", wording.prompt, f"({score})")
    answer.best.image.save(options.out)
    print(f"{answer.calls} denoiser calls, quality {answer.best.quality:.3f} for the prompt as given: {options.out}")


if __name__ == "__main__":
    main()
