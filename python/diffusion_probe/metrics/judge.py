"""Judging images by a metric that may fail: what has no quality is nan, and counted, and never a number."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from .scorers import Scorer

log = logging.getLogger("diffusion_probe.metrics")


class Judge:
    """A metric, and how often it has failed."""

    def __init__(self, scorer: Scorer):
        self._scorer = scorer
        self.failed = 0
        self.first_failure: str | None = None

    def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> np.ndarray:
        """The quality of each image, float32, nan where the metric raised or gave no finite number.

        A batch that fails as a whole is judged again one by one, so that a single image cannot take the others with it.
        """
        try:
            values = self._ask(images, prompts)
        except Exception:
            values = [self._ask_alone(image, prompt) for image, prompt in zip(images, prompts, strict=True)]
        for value in values:
            if not math.isfinite(value):
                self._note(f"it gave {value}")
        return np.array([value if math.isfinite(value) else math.nan for value in values], np.float32)

    def _ask(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        values = [float(value) for value in self._scorer(list(images), list(prompts))]
        if len(values) != len(images):
            raise ValueError(f"it gave {len(values)} values for {len(images)} images")
        return values

    def _ask_alone(self, image: Image, prompt: str) -> float:
        try:
            return self._ask([image], [prompt])[0]
        except Exception as error:
            if self.first_failure is None:
                self.first_failure = f"{type(error).__name__}: {error}"
            return math.nan

    def _note(self, reason: str) -> None:
        self.failed += 1
        if self.first_failure is None:
            self.first_failure = reason
        if self.failed == 1:
            log.warning("the metric failed on an image, which is left out: %s", self.first_failure)
