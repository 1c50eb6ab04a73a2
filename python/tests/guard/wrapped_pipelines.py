"""The table of wrappers and modes in docs/capture-and-guard.md. test_wrapped_pipelines.py tries each row.

In the folder `python`: `python -m tests.guard.wrapped_pipelines` writes the table again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import accelerate
import peft
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from diffusion_probe.families import family_of

from ..families.supported_pipelines import PAGE, page_with

BEGIN, END = "<!-- Written by tests/guard/wrapped_pipelines.py. -->\n", "<!-- End of these rows. -->\n"
RIGHT = "right"
TRIED = "tried where the package is installed; CI does not have it"
CPU = torch.device("cpu")
LORA = {"r": 2, "target_modules": ["to_q", "to_k"], "init_lora_weights": False}


def denoiser_of(pipe: Any) -> Any:
    return getattr(pipe, family_of(pipe).denoiser)


def replaced(make: Callable[[nn.Module], Any]) -> Callable[[Any], None]:
    """Puts what `make` returns into the denoiser's place."""

    def change(pipe: Any) -> None:
        setattr(pipe, family_of(pipe).denoiser, make(denoiser_of(pipe)))

    return change


def in_place(action: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Does something with the denoiser."""
    return lambda pipe: action(denoiser_of(pipe)) and None


def adapter(denoiser: Any) -> None:
    """The same random weights each time."""
    torch.manual_seed(3)
    denoiser.add_adapter(peft.LoraConfig(**LORA))


def wrapped_adapter(denoiser: Any) -> Any:
    torch.manual_seed(3)
    return peft.get_peft_model(denoiser, peft.LoraConfig(**LORA))


def fused(denoiser: Any) -> None:
    adapter(denoiser)
    denoiser.fuse_lora()


def quantized_by_torchao(denoiser: Any) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(denoiser, Int8WeightOnlyConfig())


def quantized_by_bitsandbytes(denoiser: Any) -> None:
    from bitsandbytes.nn import Linear4bit

    linear = [(parent, name, part) for parent in denoiser.modules() for name, part in parent.named_children()]
    for parent, name, part in linear:
        if type(part) is nn.Linear:
            rounded = Linear4bit(part.in_features, part.out_features, part.bias is not None, torch.float32)
            rounded.load_state_dict(part.state_dict())
            setattr(parent, name, rounded)
    denoiser.to("cpu")


def nothing(pipe: Any) -> None:
    """The pipeline as it is."""


@dataclass(frozen=True)
class Mode:
    """A way to wrap or run a pipeline."""

    name: str
    change: Callable[[Any], None]
    note: str = ""
    result: str = RIGHT  # or a part of the message with which it is refused
    during: Callable[[], AbstractContextManager[Any]] = nullcontext
    same_as: Callable[[Any], None] = nothing  # another way, which must give the same maps
    rounds: bool = False  # numbers are rounded: maps are those of the slow reference, not those of another way
    backbones: tuple[str, ...] = ("sd15", "flux")
    needs: str | None = None  # a package without which the row is not tried


MODES = [
    Mode(
        "`torch.autocast`",
        nothing,
        "maps are those of the rounded queries and keys",
        during=lambda: torch.autocast("cpu", torch.bfloat16),
        rounds=True,
    ),
    Mode("PEFT: `denoiser.add_adapter`", in_place(adapter), same_as=replaced(wrapped_adapter)),
    Mode("PEFT: `get_peft_model(denoiser)`", replaced(wrapped_adapter), same_as=in_place(adapter)),
    Mode("a fused LoRA", in_place(fused), same_as=in_place(adapter)),
    Mode("fused projections: `fuse_qkv_projections`", in_place(lambda denoiser: denoiser.fuse_qkv_projections())),
    Mode(
        "`DistributedDataParallel(denoiser)`",
        replaced(DistributedDataParallel),
        "diffusers reads the denoiser's `config`; give the pipeline its `module`. An observer's `watch` takes the wrapper",
        "give the pipeline its `module`",
    ),
    Mode(
        "FSDP: `fully_shard(denoiser)`",
        in_place(fully_shard),
        "one process; the weights cannot be hashed, so the run differs from the calibration in `weights`",
    ),
    Mode(
        "`torch.compile(denoiser)`",
        replaced(lambda denoiser: torch.compile(denoiser, backend="eager", dynamic=True)),
        "a captured step runs uncompiled",
    ),
    Mode(
        "`denoiser.compile()`",
        in_place(lambda denoiser: denoiser.compile(backend="eager", dynamic=True)),
        "a captured step runs uncompiled",
    ),
    Mode(
        "`denoiser.compile_repeated_blocks()`",
        in_place(lambda denoiser: denoiser.compile_repeated_blocks(backend="eager", dynamic=True)),
        "a captured step runs uncompiled",
        backbones=("flux",),
    ),
    Mode(
        "`enable_model_cpu_offload`",
        lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
        "its hooks, with the CPU as device",
    ),
    Mode(
        "`enable_sequential_cpu_offload`",
        in_place(lambda denoiser: accelerate.cpu_offload(denoiser, CPU)),
        "its hooks (`accelerate.cpu_offload`), with the CPU as device",
    ),
    Mode(
        "`enable_group_offload`",
        in_place(
            lambda denoiser: denoiser.enable_group_offload(onload_device=CPU, offload_device=CPU, offload_type="leaf_level")
        ),
        "with the CPU as device",
    ),
    Mode("attention slicing: `enable_attention_slicing`", lambda pipe: pipe.enable_attention_slicing(), backbones=("sd15",)),
    Mode("quantised by torchao: `Int8WeightOnlyConfig`", in_place(quantized_by_torchao), TRIED, rounds=True, needs="torchao"),
    Mode(
        "quantised by bitsandbytes: `Linear4bit`", in_place(quantized_by_bitsandbytes), TRIED, rounds=True, needs="bitsandbytes"
    ),
    *(
        Mode(f'`set_attention_backend("{name}")`', in_place(lambda denoiser, name=name: denoiser.set_attention_backend(name)))
        for name in ("native", "_native_math")
    ),
]

# What needs a GPU, or a package that has no build for the CPU.
UNPROVEN = {
    'kernels that need a GPU: `set_attention_backend("flash")`, `"sage"`, `"xformers"` and their relatives': (
        "the layer's forward is repeated up to its attention call with the native kernel; not tried"
    ),
    "`enable_model_cpu_offload` and `enable_sequential_cpu_offload` on a GPU": "not tried",
    "`FullyShardedDataParallel(denoiser)`": "it needs a GPU; not tried",
    "FSDP over several processes": "not tried; a run that ends early on one rank would leave the others waiting",
}


def table() -> str:
    """The rows."""
    lines = ["| wrapper or mode | capture and guard | remarks |", "|---|---|---|"]
    for mode in MODES:
        lines.append(f"| {mode.name} | {RIGHT if mode.result == RIGHT else 'refused before the first step'} | {mode.note} |")
    lines += [f"| {name} | unproven | {note} |" for name, note in UNPROVEN.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page_with(table(), BEGIN, END))
