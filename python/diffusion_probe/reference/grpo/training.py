"""Flow-GRPO on the reference backbone: draws samples, updates the policy, judges it, and resumes from its checkpoint."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...conditions.weights import weights_hash
from ...progress import Progress
from ...training.loop import Schedule, TrainingLoop
from ..backbone import Backbone
from ..reward import Reward
from ..source import ReferenceSource
from .evaluation import judge_policy
from .judges import Score
from .samples import GroupSamples, SampleSource, sample_figures
from .settings import SCORED, GrpoSettings
from .update import PolicyUpdate

WARM_UP = 10  # optimizer steps
EMA_DECAY = 0.9  # of the weights that are judged and saved, as in Flow-GRPO
STD_DECAY = 0.9  # of the variance of the rewards, per iteration


@dataclass(frozen=True)
class Judging:
    """When and on what a policy is judged."""

    captions: Sequence[str]  # held out
    seeds: int  # images of a caption
    every: int  # iterations
    score: Score | None  # whose ranking of the samples is watched
    second: Reward | None = None
    sheets: bool = True  # whether a sheet of images is written each time


class GrpoTraining:
    """Trains the denoiser of a source's backbone; the text encoder stays as it is."""

    def __init__(
        self,
        source: ReferenceSource,
        checkpoint: Path,
        settings: GrpoSettings,
        judging: Judging,
        *,
        score: Score | None = None,
        judge: str = "",
        fresh: bool = False,
    ):
        """`score`: of scored arms; None: they get the reward of the finished images. `judge`: names what gives the scores.

        Raises ValueError for a checkpoint of other settings.
        """
        self.source, self.settings, self.judging = source, settings, judging
        self._oracle = score is None
        self.start = source.backbone.eval().requires_grad_(False)
        model = copy.deepcopy(self.start)
        model.denoiser.requires_grad_(True)
        model.to(memory_format=torch.channels_last)
        config = asdict(model.config)
        asked = {
            **asdict(settings),
            "judge": judge if settings.arm in SCORED else "none",
            "start": [weights_hash(self.start.denoiser), weights_hash(self.start.text_encoder)],
            "reward": hashlib.sha256(b"".join(v.numpy().tobytes() for v in source.reward.state_dict().values())).hexdigest()[:16],
        }
        del asked["iterations"]
        schedule = Schedule(
            steps=settings.iterations * settings.updates,
            learning_rate=settings.learning_rate,
            warm_up_steps=WARM_UP,
            cool_down_share=0.0,
            save_every=settings.updates * judging.every,
            ema_decay=EMA_DECAY,
            weight_decay=0.0,
        )
        self.loop = TrainingLoop(model, checkpoint, schedule, asked, {"config": config}, fresh=fresh)
        # What a resumed training has to know of the iterations before.
        self.tally: dict[str, float] = self.loop.metadata.setdefault("tally", {"sampling_calls": 0, "training_calls": 0})
        self.log_file = checkpoint.with_suffix(".log.jsonl")
        self._samples = SampleSource(source, settings, score, self._oracle)
        self._groups: list[GroupSamples] = []
        self._figures: dict[str, float] = {}
        self.update = PolicyUpdate(model, self.start, settings, self.tally)

    def run(self) -> Path:
        """Take the remaining iterations, and return the log: one line of JSON per judgement, the first before any update."""
        self._prepare_log()
        if not self.loop.first:
            self._judge(0)
        updates = self.settings.updates
        self.loop.run(
            f"grpo {self.settings.arm}", self._loss, on_save=lambda done, loss, progress: self._judge(done // updates, progress)
        )
        return self.log_file

    def sample_groups(self, iteration: int) -> list[GroupSamples]:
        """The samples of an iteration with the present weights."""
        return self._samples.draw(self.loop.model, iteration)

    def _loss(self, step: int) -> Tensor:
        iteration, part = divmod(step, self.settings.updates)
        if part == 0:
            self._groups = self.sample_groups(iteration)
            self._figures = sample_figures(self._groups)
            self.tally["sampling_calls"] += sum(group.rollout.calls for group in self._groups)
            # From the second iteration on, the advantages are divided by an estimate of earlier samples alone.
            self.tally.setdefault("variance", self._figures["variance"])
        std = self.tally["variance"] ** 0.5
        loss = self.update.loss(self._groups[part :: self.settings.updates], std)
        if part == self.settings.updates - 1:
            variance = self._figures["variance"]
            self.tally["variance"] += (1 - STD_DECAY) * (variance - self.tally["variance"])
        return loss

    def _prepare_log(self) -> None:
        """Lines behind the checkpoint are of a run that was stopped; they are written again."""
        lines = self.log_file.read_text().splitlines() if self.log_file.exists() and self.loop.first else []
        done = self.loop.first // self.settings.updates
        kept = [line for line in lines if json.loads(line)["iteration"] <= done]
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.write_text("".join(f"{line}\n" for line in kept))

    def _judge(self, iteration: int, progress: Progress | None = None) -> bool:
        settings, judging = self.settings, self.judging
        policy = Backbone(self.start.config)
        policy.load_state_dict(self.loop.average.state)
        policy.to(memory_format=torch.channels_last).eval()
        sheet = self.log_file.with_suffix("").with_suffix(f".{iteration}.png") if judging.sheets else None
        figures = judge_policy(
            policy,
            self.source,
            judging.captions,
            judging.seeds,
            settings.steps,
            score=judging.score,
            step=settings.decision_step,
            second=judging.second,
            sheet=sheet,
        )
        calls = {name: self.tally[name] for name in ("sampling_calls", "training_calls")}
        entry: dict[str, Any] = {
            "arm": settings.arm,
            "oracle": self._oracle and settings.arm in SCORED,
            "seed": settings.seed,
            "iteration": iteration,
            "calls": sum(calls.values()),
            **calls,
            **figures,
            **{name: round(value, 5) for name, value in self._figures.items()},
        }
        if self.update.divergences:
            entry["divergence"] = float(f"{np.mean(self.update.divergences):.4g}")
            self.update.divergences.clear()
        line = json.dumps(entry)
        with self.log_file.open("a") as file:
            file.write(line + "\n")
        (progress.bar.write if progress else print)(line)
        return False
