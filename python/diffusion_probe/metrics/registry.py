"""Metrics by name: published ones, each from its own package, and a function of the user by `module:function`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

MetricFunction = Callable[[Sequence[Image], Sequence[str]], Sequence[float]]
"""Takes images and the prompt of each; returns the quality of each, higher is better."""

CLIP_MODEL = "openai/clip-vit-large-patch14"
CLIP_SCALE = 100.0  # published CLIP scores are 100 times the cosine
PICKSCORE_MODEL = "yuvalkirstain/PickScore_v1"
PICKSCORE_PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
AESTHETIC_MODEL = "shunk031/aesthetics-predictor-v2-sac-logos-ava1-l14-linearMSE"
HPS_VERSION = "v2.1"
IMAGEREWARD_MODEL = "ImageReward-v1.0"


def imagereward(device: str) -> MetricFunction:
    """ImageReward (Xu et al. 2023)."""
    import ImageReward as Package

    model = Package.load(IMAGEREWARD_MODEL, device=device)
    return lambda images, prompts: [float(model.score(prompt, [image])) for image, prompt in zip(images, prompts, strict=True)]


def hpsv2(device: str) -> MetricFunction:
    """Human Preference Score 2.1 (Wu et al. 2023). Its package chooses the device."""
    import hpsv2 as package

    return lambda images, prompts: [
        float(package.score([image], prompt, hps_version=HPS_VERSION)[0]) for image, prompt in zip(images, prompts, strict=True)
    ]


def clip(device: str, model: str = CLIP_MODEL) -> MetricFunction:
    """CLIP score: 100 times the cosine between prompt and image. `model`: an ID or a folder of transformers."""
    from transformers import CLIPModel, CLIPProcessor

    return _cosine(CLIPModel.from_pretrained(model), CLIPProcessor.from_pretrained(model), device, CLIP_SCALE)


def pickscore(device: str) -> MetricFunction:
    """PickScore (Kirstain et al. 2023): the cosine times the model's own scale."""
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(PICKSCORE_MODEL)
    scale = float(model.logit_scale.exp())
    return _cosine(model, CLIPProcessor.from_pretrained(PICKSCORE_PROCESSOR), device, scale)


def aesthetic(device: str) -> MetricFunction:
    """LAION's aesthetic predictor, which ignores the prompt."""
    import torch
    from aesthetics_predictor import AestheticsPredictorV2Linear
    from transformers import CLIPProcessor

    model = AestheticsPredictorV2Linear.from_pretrained(AESTHETIC_MODEL).to(device).eval()
    processor = CLIPProcessor.from_pretrained(AESTHETIC_MODEL)

    def score(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        inputs = processor(images=list(images), return_tensors="pt").to(device)
        with torch.no_grad():
            return model(**inputs).logits.flatten().tolist()

    return score


def _cosine(model: Any, processor: Any, device: str, scale: float) -> MetricFunction:
    import torch

    model = model.to(device).eval()

    def score(images: Sequence[Image], prompts: Sequence[str]) -> list[float]:
        inputs = processor(text=list(prompts), images=list(images), padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.no_grad():
            output = model(**inputs)  # its embeddings are normalised
        return (scale * (output.image_embeds * output.text_embeds).sum(dim=1)).tolist()

    return score


@dataclass(frozen=True)
class BuiltinMetric:
    """How a metric is loaded, and the pip packages that it needs."""

    load: Callable[[str], MetricFunction]  # takes a device
    packages: str


METRICS = {
    "imagereward": BuiltinMetric(imagereward, "image-reward"),
    "hpsv2": BuiltinMetric(hpsv2, "hpsv2"),
    "clip": BuiltinMetric(clip, "transformers"),
    "aesthetic": BuiltinMetric(aesthetic, "simple-aesthetics-predictor transformers"),
    "pickscore": BuiltinMetric(pickscore, "transformers"),
}


def load_metric(name: str, device: str) -> MetricFunction:
    """Load a metric onto a device, such as "cuda". Raises ValueError for one that is unknown or whose packages are missing."""
    if ":" in name:
        return user_function(name, "metric")
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}: expected one of {', '.join(METRICS)}, or module:function")
    entry = METRICS[name]
    try:
        return entry.load(device)
    except ImportError as error:
        raise ValueError(f"the metric {name} needs packages ({error}): pip install {entry.packages}") from error


def user_function(name: str, kind: str) -> Callable[..., Any]:
    """The function `module:function` of the user. `kind`: what it is for, in messages. Raises ValueError where there is none."""
    module_name, _, function_name = name.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # an installed command does not search the working directory for the user's module
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"the {kind} {name} cannot be loaded: there is no module {error.name}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"the {kind} {name} cannot be loaded: {module_name} has no function {function_name!r}")
    return function
