"""Small pipelines of diffusers that draw the reference world: Stable Diffusion XL, FLUX.1 and Qwen-Image, trained from random weights.

Their classes are those of the large ones; `diffusion-probe reference train-pipeline` trains them. See
docs/adr/0049-small-pipelines-of-three-families.md.
"""

from .flux import FLUX
from .qwen_image import QWEN_IMAGE
from .recipe import Recipe
from .sdxl import SDXL

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (SDXL, FLUX, QWEN_IMAGE)}
