"""The command `selftest`: every stage from collecting to a guarded generation, on tiny random pipelines."""

from collections.abc import Sequence

import numpy as np
from PIL.Image import Image


def brightness(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
    """The metric of the selftest: the mean brightness, 0 to 1."""
    return [float(np.asarray(image).mean()) / 255 for image in images]
