"""Changes of a tiny pipeline, each made by a function that takes the pipeline. Randomness is seeded: a change repeats exactly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import nn

Change = Callable[[Any], None]

ADAPTER = "style"
INTEGERS_OF_4_BITS = 7
MOVED_BY = 0.2  # of a weight's spread
RANK = 4


def denoiser(pipe: Any) -> nn.Module:
    """The UNet or the transformer."""
    return pipe.components.get("unet") or pipe.components["transformer"]


def all_of(*changes: Change) -> Change:
    """One change after the other."""

    def change(pipe: Any) -> None:
        for each in changes:
            each(pipe)

    return change


@dataclass(frozen=True)
class Replace:
    """Another value of one attribute of the pipeline. All components stay as they are, so a shallow copy can be changed."""

    name: str
    value: Callable[[Any], Any]  # of the pipeline

    def __call__(self, pipe: Any) -> None:
        setattr(pipe, self.name, self.value(pipe))


def scheduler(name: str, **fields: Any) -> Change:
    """Another scheduler, or the same with other fields of its configuration."""
    return Replace("scheduler", lambda pipe: getattr(diffusers, name).from_config(pipe.scheduler.config, **fields))


same_scheduler = Replace("scheduler", lambda pipe: type(pipe.scheduler).from_config(pipe.scheduler.config))


def attribute(name: str, value: Any) -> Change:
    """Another value of an attribute of the pipeline."""
    return Replace(name, lambda pipe: value)


def config(**fields: Any) -> Change:
    """Other fields of the pipeline's own configuration."""
    return lambda pipe: pipe.register_to_config(**fields)


def dtype(kind: torch.dtype) -> Change:
    """All components in another dtype."""
    return lambda pipe: pipe.to(kind)


def autocast(pipe: Any) -> None:
    """Calls of the pipeline run as if they were in `with torch.autocast(...)`."""
    own = type(pipe)
    call = functools.wraps(own.__call__)(lambda *args, **kwargs: _with_autocast(own, *args, **kwargs))
    pipe.__class__ = type(own.__name__, (own,), {"__call__": call, "__module__": own.__module__})


def fine_tuned(component: str | None = None) -> Change:
    """Every weight moves a little; None: those of the denoiser."""

    @torch.no_grad()
    def change(pipe: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        for weight in _component(pipe, component).parameters():
            spread = weight.std() if weight.numel() > 1 else weight.abs()
            weight.add_(MOVED_BY * spread * torch.randn(weight.shape, generator=generator))

    return change


@torch.no_grad()
def rounded(pipe: Any) -> None:
    """The denoiser's weights as integers of 4 bits would hold them."""
    for weight in denoiser(pipe).parameters():
        step = weight.abs().max().clamp_min(1e-12) / INTEGERS_OF_4_BITS
        weight.copy_((weight / step).round() * step)


def quantized(pipe: Any) -> None:
    """What a denoiser quantised by bitsandbytes shows of it: rounded weights and its configuration."""
    rounded(pipe)
    denoiser(pipe).register_to_config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})


def lora(component: str | None = None, seed: int = 0) -> Change:
    """A LoRA on the attention of a component; None: of the denoiser. Needs peft."""

    def change(pipe: Any) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        names = ["q_proj", "k_proj", "v_proj"] if component else ["to_q", "to_k", "to_v"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            settings = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=names, init_lora_weights=False)
            if component:
                inject_adapter_in_model(settings, pipe.components[component], ADAPTER)
            else:
                denoiser(pipe).add_adapter(settings, adapter_name=ADAPTER)

    return change


def other_lora(pipe: Any) -> None:
    """Other weights in the denoiser's LoRA."""
    denoiser(pipe).delete_adapters(ADAPTER)
    lora(seed=1)(pipe)


def lora_scale(scale: float | dict[str, Any]) -> Change:
    """Another scale of the denoiser's LoRA, of all its blocks or by block."""
    return lambda pipe: denoiser(pipe).set_adapters([ADAPTER], [scale])


def text_lora_scale(scale: float) -> Change:
    """Another scale of the text encoder's LoRA."""

    def change(pipe: Any) -> None:
        from diffusers.utils.peft_utils import set_weights_and_activate_adapters

        set_weights_and_activate_adapters(pipe.text_encoder, [ADAPTER], [scale])

    return change


def without_lora(pipe: Any) -> None:
    """The LoRA stays loaded and does nothing."""
    denoiser(pipe).disable_adapters()


def fused_lora(pipe: Any) -> None:
    """The LoRA becomes part of the denoiser's weights."""
    denoiser(pipe).fuse_lora()
    denoiser(pipe).unload_lora()


def textual_inversion(token: str) -> Change:
    """A new token with an embedding of its own."""

    def change(pipe: Any) -> None:
        width = pipe.text_encoder.get_input_embeddings().weight.shape[1]
        pipe.load_textual_inversion(torch.randn(1, width, generator=torch.Generator().manual_seed(0)), token=token)

    return change


def without_t5(pipe: Any) -> None:
    """SD3 without its third text encoder."""
    pipe.text_encoder_3 = pipe.tokenizer_3 = None


def free_u(pipe: Any) -> None:
    """FreeU with the factors that its authors give for SDXL."""
    pipe.enable_freeu(s1=0.6, s2=0.4, b1=1.1, b2=1.2)


def first_block_cache(pipe: Any) -> None:
    """Steps whose first block changes little take the rest from the step before."""
    denoiser(pipe).enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.2))


def vae_tiling(pipe: Any) -> None:
    """The VAE decodes an image in tiles."""
    pipe.vae.enable_tiling()


def attention_backend(pipe: Any) -> None:
    """Another kernel of the same attention."""
    denoiser(pipe).set_attention_backend("_native_math")


def model_offload(pipe: Any) -> None:
    """Components move to the device one at a time."""
    pipe.enable_model_cpu_offload(device="cpu")


def sequential_offload(pipe: Any) -> None:
    """Weights move to the device layer by layer."""
    from accelerate import cpu_offload

    cpu_offload(denoiser(pipe), torch.device("cpu"))


def compiled(pipe: Any) -> None:
    """A compiled denoiser. A captured step runs it uncompiled, so nothing is compiled in a run of one step."""
    name = "unet" if "unet" in pipe.components else "transformer"
    setattr(pipe, name, torch.compile(getattr(pipe, name)))


def _with_autocast(kind: type, *args: Any, **kwargs: Any) -> Any:
    with torch.autocast("cpu", torch.float16):
        return kind.__call__(*args, **kwargs)


def _component(pipe: Any, name: str | None) -> nn.Module:
    return pipe.components[name] if name else denoiser(pipe)
