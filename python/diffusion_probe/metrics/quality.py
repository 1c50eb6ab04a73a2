"""Evaluation of images by a metric that may fail: a failure is counted, and its quality is nan."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from PIL.Image import Image

from .registry import MetricFunction

log = logging.getLogger("diffusion_probe.metrics")


class QualityEvaluator:
    """A metric that counts its failures."""

    def __init__(self, metric: MetricFunction):
        self._metric = metric
        self.failed = 0  # images
        self.first_failure: str | None = None

    def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> np.ndarray:
        """The quality of each image, float32, nan where the metric raised or returned no finite number.

        When the metric raises on a batch, it is called again on each image alone, so that one image does not affect the others.
        """
        try:
            values = self._evaluate(images, prompts)
        except Exception:
            values = [self._evaluate_one(image, prompt) for image, prompt in zip(images, prompts, strict=True)]
        quality = np.array(values, np.float64)
        failed = ~np.isfinite(quality)
        if failed.any():
            self.first_failure = self.first_failure or f"it returned {quality[failed][0]}"
            if not self.failed:
                log.warning("the metric failed on an image, which gets no quality: %s", self.first_failure)
            self.failed += int(failed.sum())
        return np.where(failed, np.nan, quality).astype(np.float32)

    def _evaluate(self, images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        values = [float(value) for value in self._metric(list(images), list(prompts))]
        if len(values) != len(images):
            raise ValueError(f"it returned {len(values)} values for {len(images)} images")
        return values

    def _evaluate_one(self, image: Image, prompt: str) -> float:
        try:
            return self._evaluate([image], [prompt])[0]
        except Exception as error:
            self.first_failure = self.first_failure or f"{type(error).__name__}: {error}"
            return math.nan
