"""Says what to install where PyTorch is missing, which the package alone does not need."""

from __future__ import annotations

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error.name} is missing: pip install 'diffusion-probe[diffusers]'", name=error.name) from error
