"""The settings of a Flow-GRPO training. Imports no package, since the command line reads the defaults here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Arm = Literal["full", "random", "tails", "top", "variance"]
ARMS: tuple[str, ...] = get_args(Arm)
SCORED = frozenset({"tails", "top", "variance"})  # these need a score at the decision step


@dataclass(frozen=True)
class GrpoSettings:
    """All that the weights of a training depend on, beside the start, the reward and the scores."""

    arm: Arm = "full"
    seed: int = 0
    iterations: int = 200  # each draws samples once
    prompts: int = 8  # per iteration
    group: int = 16  # samples of a prompt
    updates: int = 2  # optimizer steps per iteration, each on as many of its prompts
    decision_step: int = 5  # after which dropped samples are computed no further, from 1
    share: float = 0.5  # of a group that goes on, on average
    floor: float = 0.25  # the least probability of the arm `tails`
    steps: int = 25  # as for all figures of the probes
    guidance: float = 3.0
    noise: float = 0.7  # of the steps in the window, as in Flow-GRPO
    window: int = 3  # steps with noise
    window_last: int = 8  # the last step that the window may reach; where it begins is drawn in each iteration
    learning_rate: float = 3e-5
    clip: float = 1e-4
    beta: float = 0.004  # weight of the divergence from the start
    micro_batch: int = 32  # transitions per backward pass; a matter of memory

    def __post_init__(self) -> None:
        """Raises ValueError for values that do not fit together."""
        if not 0 < self.floor <= self.share <= 1:
            raise ValueError(f"floor is {self.floor} and share is {self.share}: expected 0 < floor <= share <= 1")
        if self.arm not in ARMS:
            raise ValueError(f"arm is {self.arm!r}: expected one of {', '.join(ARMS)}")
        if self.group < 2:
            raise ValueError(f"group is {self.group}: expected at least 2 samples to compare")
        if self.prompts % self.updates:
            raise ValueError(f"{self.prompts} prompts cannot be divided into {self.updates} updates")
        if not self.window <= self.window_last < self.steps:
            text = f"window is {self.window}, window_last {self.window_last} and steps {self.steps}"
            # The last step has hardly any noise, so its log-probabilities are extreme.
            raise ValueError(f"{text}: expected window <= window_last < steps")
        if not self.beta >= 0:
            raise ValueError(f"beta is {self.beta}: expected a number from 0")
        if not 1 <= self.decision_step < self.steps:
            raise ValueError(f"decision_step is {self.decision_step}: expected one from 1 to {self.steps - 1}")

    @property
    def drops_at(self) -> int:
        """The step after which samples are dropped; 0: before the first, since nothing has to be seen for it."""
        return self.decision_step if self.arm in SCORED else 0

    @property
    def expected_kept(self) -> float:
        """The share of the samples that go on."""
        return 1.0 if self.arm == "full" else self.share

    @property
    def sampling_calls(self) -> float:
        """Denoiser calls of an iteration for its samples, on average."""
        after = (self.steps - self.drops_at) * self.expected_kept
        return self.prompts * self.group * (self.drops_at + after)

    @property
    def training_rows(self) -> float:
        """Transitions that an iteration is trained on, on average."""
        return self.prompts * self.group * self.window * self.expected_kept
