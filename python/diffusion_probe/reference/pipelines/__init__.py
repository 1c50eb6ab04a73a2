"""Small pipelines of diffusers that draw the reference world: Stable Diffusion XL, FLUX.1 and Qwen-Image.

They are trained from random weights by `diffusion-probe reference train-pipeline`. Their classes are those of the large ones. See
docs/adr/0049-small-pipelines-of-three-families.md.
"""

from .flux import FLUX
from .qwen_image import QWEN_IMAGE
from .recipe import Recipe
from .sdxl import SDXL

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (SDXL, FLUX, QWEN_IMAGE)}
