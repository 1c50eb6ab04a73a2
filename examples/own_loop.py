"""A sampling loop of one's own that finishes the best quarter of its candidates. It uses no diffusers.

The backbone is the reference world of this repository, whose attention is its own code. Start the service first (`npm start`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusion_probe.capture import AttentionObserver, select
from diffusion_probe.client import ProbeClient, SampleGroup
from diffusion_probe.reference.backbone import TIMESTEPS, pad_ids, text_mask_of, unconditional_ids
from diffusion_probe.reference.captions import tokenize
from diffusion_probe.reference.onnx_import import load_onnx_backbone
from diffusion_probe.reference.rectified_flow import GUIDANCE, STEPS, noise_levels
from diffusion_probe.reference.source import initial_noise
from PIL import Image

ROOT = Path(__file__).parents[1]


def observe(denoiser: torch.nn.Module, observer: AttentionObserver) -> None:
    """Pass queries and keys of each cross-attention to the observer, by the names of the layers in the probe's manifest."""
    for layer, block in denoiser.named_modules():
        if hasattr(block, "cross"):

            def read(attention, arguments, layer=layer):
                if observer.is_due:
                    query, key, _ = attention.project(*arguments[:2])
                    observer.add(layer, query, key, mask=arguments[2])

            block.cross.register_forward_pre_hook(read)


@torch.no_grad()
def generate(group: SampleGroup, caption: str, seeds: Sequence[int]) -> dict[int, torch.Tensor]:
    """The images that the group keeps, by their seed, each float32 [3, height, width] in [-1, 1]."""
    backbone = load_onnx_backbone(ROOT / "reference")
    ids, side = tokenize(caption), backbone.config.image_size  # the first id is the begin token
    observer = AttentionObserver(ROOT / "models/pictogram/2", range(1, len(ids)), (side, side), rows="first half", steps=[5])
    observe(backbone.denoiser, observer)
    latents = torch.stack([initial_noise(caption, seed, side) for seed in seeds])
    prompts = pad_ids([ids] * len(seeds))
    both = torch.cat([prompts, unconditional_ids(*prompts.shape)])
    mask = text_mask_of(both)
    state = {"text": backbone.text_encoder(both, mask), "mask": mask}  # guidance: two rows per image
    sigmas = noise_levels()
    for step in range(1, STEPS + 1):
        timestep = float(sigmas[step - 1]) * TIMESTEPS
        latents_twice, times = torch.cat([latents, latents]), torch.full((2 * len(latents),), timestep)
        velocity, _ = backbone.denoiser(latents_twice, times, state["text"], state["mask"])
        conditional, unconditional = velocity.chunk(2)
        latents = latents + (sigmas[step] - sigmas[step - 1]) * (unconditional + GUIDANCE * (conditional - unconditional))
        if observer.due(step):
            kept = group.decide(observer.take(), step=step, timestep=timestep)
            latents, state = select(kept, latents, state)
    return {seeds[index]: image for index, image in zip(group.remaining, latents.clamp(-1, 1), strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service", default="http://127.0.0.1:8080", help="its address; DIFFUSION_PROBE_API_KEY has its key")
    parser.add_argument("--caption", default="a hat left of a cactus on a green background", help="what to draw")
    parser.add_argument("--size", type=int, default=8, help="candidates")
    parser.add_argument("--out", type=Path, default=Path("own-loop.png"), help="the kept images, side by side")
    options = parser.parse_args()
    with ProbeClient(options.service) as client:
        group = client.group(options.size, policy={"name": "top_k", "k": options.size // 4, "explore": {"rate": 0}})
        images = generate(group, options.caption, range(options.size))
    print("scores", [round(result.score, 3) for result in group.outcomes[0].results])
    row = torch.cat(list(images.values()), dim=2)
    Image.fromarray(((row + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()).save(options.out)
    print(f"finished the candidates {sorted(images)} of {options.size}: {options.out}")


if __name__ == "__main__":
    main()
