"""What changes `capture_id`, what changes the conditions, and what changes neither: the rows of docs/run-settings.md.

In the folder `python`: `python -m tests.capture.run_settings > ../docs/run-settings.md` writes the page again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from . import pipe_changes as change
from .pipe_changes import Change, all_of, scheduler

CAPTURE_ID, NEITHER = "capture_id", "neither"

TITLES = {
    "sd15": "Stable Diffusion 1.5",
    "sdxl": "Stable Diffusion XL",
    "sd3": "Stable Diffusion 3 and 3.5",
    "flux": "FLUX.1",
    "qwen-image": "Qwen-Image",
}
INTRODUCTION = """\
# What a calibration depends on

<!-- Written by `python -m tests.capture.run_settings > ../docs/run-settings.md` in the folder `python`. -->

A probe's calibration holds for the settings of its own runs. Each row changes one setting of a run with a tiny pipeline and says
which [fingerprint](contract.md#fingerprints) changes with it: `capture_id`, of what is read, or `conditions_id`, of how images
are drawn, and then which member of the conditions names the change. Neither: the calibration holds as before. In the folder
`python`, `pytest tests/capture/test_run_settings.py` tries every row.

Only the backbones below are tried. The conditions of the other supported ones have the same members.
"""


@dataclass(frozen=True)
class Setting:
    """A setting that is changed alone: two runs are equal in `prepare` and `before`, and differ in the rest."""

    backbone: str
    label: str
    changes: str  # CAPTURE_ID, NEITHER, or the member of the conditions that names it
    call: Mapping[str, Any] = field(default_factory=dict)  # arguments of the pipeline's call
    pipe: Change | None = None
    capture: Mapping[str, Any] = field(default_factory=dict)  # arguments of AttentionCapture
    other_backbone: str | None = None
    before: Mapping[str, Any] = field(default_factory=dict)  # arguments of both calls
    prepare: Change | None = None
    needs: str | None = None  # a package


def settings() -> Iterator[Setting]:
    """All rows, by backbone."""
    for name in TITLES:
        yield from _reading(name)
        yield from _every_backbone(name)
        yield from _OWN[name]()
        yield from _loras(name)
        yield from _nothing(name)


def page() -> str:
    """The text of docs/run-settings.md."""
    rows = list(settings())
    parts = [INTRODUCTION]
    for name, title in TITLES.items():
        lines = [f"| {row.label} | {_cell(row.changes)} |" for row in rows if row.backbone == name]
        parts.append("\n".join([f"## {title}\n", "| setting | changes |", "|---|---|", *lines, ""]))
    return "\n".join(parts)


def _cell(changes: str) -> str:
    if changes == NEITHER:
        return changes
    return f"`{changes}`" if changes == CAPTURE_ID else f"`conditions_id`: `{changes}`"


def _reading(name: str) -> Iterator[Setting]:
    layers = {"sd15": "mid_block.*", "sdxl": "mid_block.*"}.get(name, "transformer_blocks.0.*")
    yield Setting(name, "other layers", CAPTURE_ID, capture={"layers": [layers]})
    yield Setting(name, "another grid, 8 x 8", CAPTURE_ID, capture={"grid": (8, 8)})
    other = "sd3" if name == "flux" else "flux"
    yield Setting(name, f"the probe of another family, {TITLES[other]}", CAPTURE_ID, other_backbone=other)


def _every_backbone(name: str) -> Iterator[Setting]:
    yield Setting(name, "resolution", "call", {"height": 48, "width": 48})
    yield Setting(name, "number of steps", "timesteps", {"num_inference_steps": 3})
    yield Setting(name, "bfloat16 for float32", "dtype", pipe=change.dtype(torch.bfloat16))
    yield Setting(name, "autocast to float16", "dtype", pipe=change.autocast)
    yield Setting(name, "weights rounded to 4 bits", "weights", pipe=change.rounded)
    yield Setting(name, "quantised with bitsandbytes", "quantization", pipe=change.quantized)
    yield Setting(name, "fine-tuned denoiser", "weights", pipe=change.fine_tuned())
    yield Setting(name, "fine-tuned text encoder", "weights", pipe=change.fine_tuned("text_encoder"))
    yield Setting(name, "another VAE", "weights", pipe=change.fine_tuned("vae"))
    yield Setting(name, "VAE in tiles", "pipeline", pipe=change.vae_tiling)


def _classifier_free(name: str) -> Iterator[Setting]:
    yield Setting(name, "guidance 1: no guidance", "guidance", {"guidance_scale": 1.0})
    yield Setting(name, "guidance 15", "guidance", {"guidance_scale": 15.0})
    yield Setting(name, "a negative prompt", "call", {"negative_prompt": "dog"})
    yield Setting(name, "another negative prompt", "call", {"negative_prompt": "dog"}, before={"negative_prompt": "banana"})


EULER = {
    "Karras sigmas": {"use_karras_sigmas": True},
    "exponential sigmas": {"use_exponential_sigmas": True},
    "beta sigmas": {"use_beta_sigmas": True},
    "final sigma above zero (the image alone)": {"final_sigmas_type": "sigma_min"},
    "trailing timesteps": {"timestep_spacing": "trailing"},
    "continuous timesteps (no effect)": {"timestep_type": "continuous"},
    "log-linear interpolation": {"interpolation_type": "log_linear"},
    "Karras sigmas within other bounds": {"sigma_max": 10.0, "sigma_min": 0.1, "use_karras_sigmas": True},
    "betas to zero SNR": {"rescale_betas_zero_snr": True},
    "v-prediction": {"prediction_type": "v_prediction"},
}
DPM = {
    "beta sigmas": {"use_beta_sigmas": True},
    "final sigma above zero (the image alone)": {"final_sigmas_type": "sigma_min"},
    "Heun's solver": {"solver_type": "heun"},
    "Euler at the end (no effect)": {"euler_at_final": True},
    "Lu's lambdas": {"use_lu_lambdas": True},
    "no lower order at the end (no effect)": {"lower_order_final": False},
    "clipped lambda (no effect)": {"lambda_min_clipped": -3.0},
    "SDE": {"algorithm_type": "sde-dpmsolver++"},
    "order 3": {"solver_order": 3},
    "thresholding": {"thresholding": True},
}
UNIPC_FIELDS = {
    "solver": {"solver_type": "bh1"},
    "noise prediction": {"predict_x0": False},
    "no corrector": {"disable_corrector": [0]},
}
KARRAS = scheduler("EulerDiscreteScheduler", use_karras_sigmas=True)
DPM_SOLVER = scheduler("DPMSolverMultistepScheduler")
DDIM = scheduler("DDIMScheduler", clip_sample=False)
DDPM = scheduler("DDPMScheduler", clip_sample=False)
UNIPC = scheduler("UniPCMultistepScheduler")
DEIS = scheduler("DEISMultistepScheduler")
LCM = scheduler("LCMScheduler")
TCD = scheduler("TCDScheduler")


def _unet(name: str) -> Iterator[Setting]:
    yield from _classifier_free(name)
    yield Setting(name, "guidance rescale", "call", {"guidance_rescale": 0.7})
    yield Setting(name, "own timesteps", "timesteps", {"timesteps": [900, 400]})
    yield Setting(name, "own sigmas", "timesteps", {"sigmas": [10.0, 2.0]})
    for label, fields in EULER.items():
        yield Setting(name, f"Euler: {label}", "scheduler", pipe=scheduler("EulerDiscreteScheduler", **fields))
    bounds = scheduler("EulerDiscreteScheduler", sigma_max=10.0, sigma_min=0.1)
    yield Setting(name, "Karras sigmas: other bounds", "scheduler", pipe=bounds, prepare=KARRAS)
    yield Setting(name, "Euler ancestral for Euler", "scheduler", pipe=scheduler("EulerAncestralDiscreteScheduler"))
    yield Setting(name, "DDIM for Euler", "scheduler", pipe=DDIM)
    yield Setting(name, "DDIM: eta", "call", {"eta": 1.0}, prepare=DDIM)
    last = scheduler("DDIMScheduler", set_alpha_to_one=False)
    yield Setting(name, "DDIM: last alpha (the image alone)", "scheduler", pipe=last, prepare=DDIM)
    yield Setting(name, "DDIM: clipped samples", "scheduler", pipe=scheduler("DDIMScheduler", clip_sample=True), prepare=DDIM)
    variance = scheduler("DDPMScheduler", variance_type="fixed_large")
    yield Setting(name, "DDPM: variance", "scheduler", pipe=variance, prepare=DDPM)
    yield Setting(name, "DDPM: thresholding", "scheduler", pipe=scheduler("DDPMScheduler", thresholding=True), prepare=DDPM)
    for label, fields in DPM.items():
        solver = scheduler("DPMSolverMultistepScheduler", **fields)
        yield Setting(name, f"DPM++: {label}", "scheduler", pipe=solver, prepare=DPM_SOLVER)
    for label, fields in UNIPC_FIELDS.items():
        own = scheduler("UniPCMultistepScheduler", **fields)
        yield Setting(name, f"UniPC: {label}", "scheduler", pipe=own, prepare=UNIPC)
    deis = scheduler("DEISMultistepScheduler", solver_order=1)
    yield Setting(name, "DEIS: order", "scheduler", pipe=deis, prepare=DEIS)
    original = scheduler("LCMScheduler", original_inference_steps=40)
    yield Setting(name, "LCM: original steps", "scheduler", pipe=original, prepare=LCM)
    yield Setting(name, "TCD: eta", "call", {"eta": 0.9}, before={"eta": 0.3}, prepare=TCD)
    yield Setting(name, "FreeU", "free_u", pipe=change.free_u)
    yield Setting(name, "fused projections (no effect)", "weights", pipe=lambda pipe: pipe.fuse_qkv_projections())
    yield Setting(name, "textual inversion", "weights", {"prompt": "a <shape> cat"}, change.textual_inversion("<shape>"))
    yield Setting(name, "attention slicing (rounding)", NEITHER, pipe=lambda pipe: pipe.enable_attention_slicing())
    yield from _negatives(name)


def _sdxl() -> Iterator[Setting]:
    yield from _unet("sdxl")
    yield Setting("sdxl", "CLIP skip", "call", {"clip_skip": 1})
    yield Setting("sdxl", "end of denoising (the image alone)", "call", {"denoising_end": 0.6})
    yield Setting("sdxl", "original size", "call", {"original_size": (1024, 1024)})
    yield Setting("sdxl", "target size", "call", {"target_size": (1024, 1024)})
    yield Setting("sdxl", "crop", "call", {"crops_coords_top_left": (100, 100)})
    sizes = {"negative_original_size": (512, 512), "negative_target_size": (1024, 1024)}
    yield Setting("sdxl", "negative sizes", "call", sizes)
    empty_text = change.config(force_zeros_for_empty_prompt=False)
    yield Setting("sdxl", "an empty text, not zeros, where no negative prompt is given", "pipeline", pipe=empty_text)
    yield Setting("sdxl", "`prompt_2`", NEITHER, {"prompt_2": "two dog"})


FLOW = {
    "beta sigmas": {"use_beta_sigmas": True},
    "Karras sigmas": {"use_karras_sigmas": True},
    "exponential sigmas": {"use_exponential_sigmas": True},
    "stochastic sampling": {"stochastic_sampling": True},
    "terminal shift": {"shift_terminal": 0.1},
    "base shift": {"base_shift": 0.3},
    "greatest shift": {"max_shift": 3.0},
    "linear time shift": {"time_shift_type": "linear"},
    "shift": {"shift": 6.0},
}
DYNAMIC = ("base shift", "greatest shift", "linear time shift")  # of schedulers whose shift depends on the resolution
FLOW_UNIPC = scheduler("UniPCMultistepScheduler", use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=1.0)


def _flow(name: str) -> Iterator[Setting]:
    dynamic = name != "sd3"
    for label, fields in FLOW.items():
        idle = " (no effect)" if label in (("shift",) if dynamic else DYNAMIC) else ""
        changed = scheduler("FlowMatchEulerDiscreteScheduler", **fields)
        yield Setting(name, f"flow Euler: {label}{idle}", "scheduler", pipe=changed)
    yield Setting(name, "own sigmas", "timesteps", {"sigmas": [1.0, 0.3]})


def _flow_unipc(name: str) -> Iterator[Setting]:
    yield Setting(name, "flow UniPC for Euler", "scheduler", pipe=FLOW_UNIPC)
    shifted = scheduler("UniPCMultistepScheduler", flow_shift=6.0)
    idle = " (no effect)" if name == "flux" else ""
    yield Setting(name, f"flow UniPC: shift{idle}", "scheduler", pipe=shifted, prepare=FLOW_UNIPC)


def _sd3() -> Iterator[Setting]:
    yield from _classifier_free("sd3")
    yield from _flow("sd3")
    yield from _flow_unipc("sd3")
    yield Setting("sd3", "flow Euler: shift, by `set_shift`", "timesteps", pipe=lambda pipe: pipe.scheduler.set_shift(6.0))
    yield Setting("sd3", "flow Heun for Euler", "scheduler", pipe=scheduler("FlowMatchHeunDiscreteScheduler"))
    yield Setting("sd3", "longest prompt of T5", "call", {"max_sequence_length": 32})
    yield Setting("sd3", "without T5", "weights", pipe=change.without_t5)
    skipped = {"skip_guidance_layers": [1], "skip_layer_guidance_start": 0.01, "skip_layer_guidance_stop": 0.9}
    yield Setting("sd3", "guidance by skipped layers", "call", skipped)
    yield Setting("sd3", "CLIP skip", "call", {"clip_skip": 1})
    yield Setting("sd3", "`mu` (no effect)", "call", {"mu": 0.5})
    yield Setting("sd3", "`prompt_2`", NEITHER, {"prompt_2": "two dog"})
    yield from _negatives("sd3")


TRUE_GUIDANCE = {"true_cfg_scale": 4.0, "negative_prompt": "banana"}


def _flux() -> Iterator[Setting]:
    yield from _flow("flux")
    yield from _flow_unipc("flux")
    yield Setting("flux", "guidance 1", "guidance", {"guidance_scale": 1.0})
    yield Setting("flux", "guidance 30", "guidance", {"guidance_scale": 30.0})
    yield Setting("flux", "true guidance", "guidance", TRUE_GUIDANCE)
    yield Setting("flux", "with true guidance: guidance 30", "guidance", {"guidance_scale": 30.0}, before=TRUE_GUIDANCE)
    yield Setting("flux", "with true guidance: another negative prompt", "call", {"negative_prompt": "dog"}, before=TRUE_GUIDANCE)
    alone = {"true_cfg_scale": 1.0, "negative_prompt": None, "guidance_scale": 4.0}
    yield Setting("flux", "guidance 4 for true guidance 4", "guidance", alone, before=TRUE_GUIDANCE)
    yield Setting("flux", "longest prompt of T5", "call", {"max_sequence_length": 32})
    inversion = change.textual_inversion("<shape>")
    yield Setting("flux", "textual inversion", "weights", {"prompt": "a <shape> cat"}, inversion)
    yield Setting("flux", "first block cache", "pipeline", pipe=change.first_block_cache)
    yield Setting("flux", "`prompt_2`", NEITHER, {"prompt_2": "two dog"})
    yield from _negatives("flux", true_cfg_scale=4.0)


def _qwen() -> Iterator[Setting]:
    yield from _flow("qwen-image")
    yield Setting("qwen-image", "true guidance 1: no guidance", "guidance", {"true_cfg_scale": 1.0})
    yield Setting("qwen-image", "no negative prompt: no guidance", "guidance", {"negative_prompt": None})
    yield Setting("qwen-image", "another negative prompt", "call", {"negative_prompt": "dog"})
    yield Setting("qwen-image", "embedded guidance (no effect)", "call", {"guidance_scale": 4.0})
    yield Setting("qwen-image", "longest prompt (no effect above its length)", "call", {"max_sequence_length": 16})
    yield Setting("qwen-image", "first block cache", "pipeline", pipe=change.first_block_cache)
    yield from _negatives("qwen-image")


def _negatives(name: str, **before: Any) -> Iterator[Setting]:
    lists = {"prompt": ["a cat", "two dog"], "negative_prompt": ["dog", "dog"]}
    yield Setting(name, "one negative prompt, given as a list", NEITHER, lists, before={**before, "negative_prompt": "dog"})


_OWN = {"sd15": lambda: _unet("sd15"), "sdxl": _sdxl, "sd3": _sd3, "flux": _flux, "qwen-image": _qwen}

SCALE_ARGUMENTS = {"sd3": "joint_attention_kwargs", "flux": "joint_attention_kwargs", "qwen-image": "attention_kwargs"}
LORA, TEXT_LORA = change.lora(), change.lora("text_encoder")


def _loras(name: str) -> Iterator[Setting]:
    argument = {SCALE_ARGUMENTS.get(name, "cross_attention_kwargs"): {"scale": 0.5}}
    peft = {"needs": "peft"}
    yield Setting(name, "a LoRA", "adapters", pipe=LORA, **peft)
    yield Setting(name, "LoRA: other weights", "weights", pipe=change.other_lora, prepare=LORA, **peft)
    yield Setting(name, "LoRA: scale", "adapters", pipe=change.lora_scale(0.5), prepare=LORA, **peft)
    yield Setting(name, "LoRA: scale as an argument", "call", argument, prepare=LORA, **peft)
    yield Setting(name, "LoRA: switched off", "adapters", pipe=change.without_lora, prepare=LORA, **peft)
    yield Setting(name, "a fused LoRA", "weights", pipe=all_of(LORA, change.fused_lora), **peft)
    if name in ("sd15", "sdxl"):
        blocks = change.lora_scale({"down": 0.5})
        yield Setting(name, "LoRA: scale of some blocks", "adapters", pipe=blocks, prepare=LORA, **peft)
    yield Setting(name, "a LoRA of the text encoder", "adapters", pipe=TEXT_LORA, **peft)
    scale = change.text_lora_scale(0.5)
    yield Setting(name, "LoRA of the text encoder: scale", "adapters", pipe=scale, prepare=TEXT_LORA, **peft)


DEFAULT_SIDES = {"sd15": 64, "sdxl": 64, "sd3": 32, "flux": 32, "qwen-image": 32}
# The own default of these is too large for a test.
SMALL = {"flux": change.attribute("default_sample_size", 16), "qwen-image": change.attribute("default_sample_size", 8)}

# So that nothing is compiled: a captured forward is run uncompiled.
ONE_FORWARD = {name: {"num_inference_steps": 1, **({"true_cfg_scale": 1.0} if name == "qwen-image" else {})} for name in TITLES}


def _nothing(name: str) -> Iterator[Setting]:
    yield Setting(name, "another prompt", NEITHER, {"prompt": "two dog on the key"})
    yield Setting(name, "another seed", NEITHER, {"generator": torch.Generator().manual_seed(1)})
    yield Setting(name, "number of images for a prompt", NEITHER, {"num_images_per_prompt": 2})
    yield Setting(name, "form of the output", NEITHER, {"output_type": "np"})
    side = DEFAULT_SIDES[name]
    sides, open_sides = {"height": side, "width": side}, {"height": None, "width": None}
    yield Setting(name, "height and width given as their default", NEITHER, sides, before=open_sides, prepare=SMALL.get(name))
    yield Setting(name, "the same scheduler, made anew", NEITHER, pipe=change.same_scheduler)
    yield Setting(name, "attention backend (rounding)", NEITHER, pipe=change.attention_backend)
    yield Setting(name, "offloading by component", NEITHER, pipe=change.model_offload)
    yield Setting(name, "offloading by layer", NEITHER, pipe=change.sequential_offload)
    yield Setting(name, "compiled denoiser", NEITHER, pipe=change.compiled, before=ONE_FORWARD[name])


if __name__ == "__main__":
    print(page(), end="")
