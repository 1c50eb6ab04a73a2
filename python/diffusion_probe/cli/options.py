"""How a command is added, and the options that several commands share."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

RUNS = Path("runs")
REFERENCE = Path("reference")
PROBE_FOLDER = Path("models/pictogram/2")
A_PIPELINE = "ID or local folder of a pipeline of diffusers, or module:function that returns one"
METRIC_HELP = "imagereward, hpsv2, clip, aesthetic, pickscore, or module:function of your own"


def name_list(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(part for part in text.split(",") if part)


SHARED_OPTIONS: dict[str, dict[str, Any]] = {
    "--data": {"type": Path, "default": RUNS / "data", "help": "folder of the data set"},
    "--checkpoint": {"type": Path, "default": RUNS / "probe.pt", "help": "checkpoint of the probe's training"},
    "--folder": {"type": Path, "default": PROBE_FOLDER, "help": "folder of the exported probe"},
    "--no-compile": {"action": "store_true", "help": "do not use torch.compile (slower; needs no C++ compiler)"},
    "--seed": {"type": int, "default": 0, "help": "seed of the random numbers"},
    "--width": {"type": int, "default": 32, "help": "channels of the first block"},
    "--learning-rate": {"type": float, "default": 1.5e-3, "help": "peak learning rate"},
    "--weight-decay": {"type": float, "default": 0.05, "help": "weight decay of AdamW"},
    "--signals": {
        "type": name_list,
        "default": (),
        "help": "inputs beyond attention: preview,token_ids,guidance_difference (default: none)",
    },
    "--preview-width": {
        "type": int,
        "default": 0,
        "help": "channels of a closer look at the preview, which each token takes; 0: none",
    },
    "--preview-weight": {
        "type": float,
        "default": 0.0,
        "help": "weight of a second task: what the metric says of the preview, which the network then learns to judge",
    },
    "--track": {"choices": ["tensorboard"], "help": "write figures for a tracker, into a folder beside the checkpoint"},
    "--device": {"default": "auto", "help": "auto, cpu or cuda; auto is cuda where it is available (default: auto)"},
    "--fresh": {"action": "store_true", "help": "begin anew where the checkpoint is of another training, and overwrite it"},
    "--reference": {"type": Path, "default": REFERENCE, "help": "folder of the exported reference world"},
    "--backbone": {"type": Path, "help": "checkpoint to use in place of the folder's backbone"},
    "--reward": {"type": Path, "help": "checkpoint to use in place of the folder's reward"},
}


class HelpFormatter(argparse.HelpFormatter):
    """Adds the default to the help text of every option that has one and whose text does not say it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default, text = action.default, action.help
        has_default = isinstance(default, str | int | float | Path) and default is not False and default != argparse.SUPPRESS
        return f"{text} (default: %(default)s)" if has_default and text and "default" not in text else text


def add_command(commands, name: str, run: Callable[[argparse.Namespace], int | None], text: str, *shared: str) -> Any:
    """Add a command that calls `run` with the parsed options, and return its parser.

    `text`: what it does, as a sentence without a full stop. `shared`: the `SHARED_OPTIONS` that it takes.
    """
    description = text[0].upper() + text[1:] + "."
    parser = commands.add_parser(name, help=text, description=description, formatter_class=HelpFormatter)
    parser.set_defaults(command=run)
    for option in shared:
        parser.add_argument(option, **SHARED_OPTIONS[option])
    return parser


def reference_source(options: argparse.Namespace, compiled: bool = False, paraphrased: float = 0.0, grid: int | None = None):
    """The reference world that `--reference`, `--backbone` and `--reward` name. `grid`: as in ReferenceSource.load."""
    from ..reference.source import ReferenceSource

    return ReferenceSource.load(options.reference, options.backbone, options.reward, compiled, grid, paraphrased)


def positive(text: str) -> float:
    """Parse a number above 0."""
    return _number(text, lambda value: 0 < value < math.inf, "a number above 0")


def not_negative(text: str) -> float:
    """Parse a number from 0."""
    return _number(text, lambda value: 0 <= value < math.inf, "a number from 0")


def share_of(text: str) -> float:
    """Parse a number from 0 to 1."""
    return _number(text, lambda value: 0 <= value <= 1, "a share from 0 to 1")


def _number(text: str, is_expected: Callable[[float], bool], expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not is_expected(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}")
    return value


def positive_count(text: str) -> int:
    """Parse a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def grid_side(text: str) -> int:
    """Parse a side of attention maps."""
    side = positive_count(text)
    if side % 4:
        raise argparse.ArgumentTypeError(f"expected a side divisible by 4, as a probe needs it, not {text}")
    return side


def step_list(text: str) -> tuple[int, ...]:
    """Parse steps such as 1,3,5; ascending, without duplicates."""
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected steps such as 1,3,5, not {text!r}") from None


def json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"expected a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, not {text!r}")
    return value


# Options that set the members of the same name of TrainSettings.
FIT_OPTIONS = ("--width", "--learning-rate", "--weight-decay", "--seed", "--signals", "--preview-width", "--preview-weight")


def fit_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The members of TrainSettings that `train` and `distill` set alike."""
    named = {option[2:].replace("-", "_") for option in FIT_OPTIONS} | {"layers", "network", "patience"}
    return {"steps": options.training_steps, **{name: getattr(options, name) for name in sorted(named)}}


def add_pipeline_options(parser: Any, more_layers: str = "") -> None:
    """Add how a pipeline of diffusers is loaded and called, and which of its layers are read. `more_layers`: of the help text."""
    layers = f"names or patterns of attention layers{more_layers} (default: ten over the depth)"
    parser.add_argument("--layers", type=name_list, help=layers)
    add_loading_options(parser)


def add_loading_options(parser: Any) -> None:
    """Add how a pipeline of diffusers is loaded and called."""
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], help="default: float32 on the CPU, else bfloat16")
    call = "further arguments of a call, JSON: '{\"guidance_scale\": 3.5}'"
    parser.add_argument("--call", type=json_object, default={}, help=call)
    parser.add_argument(
        "--load", type=json_object, default={}, help="further arguments of from_pretrained, or of the function, JSON"
    )
