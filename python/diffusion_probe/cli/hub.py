"""The commands `pull` and `push`: probes from the hub and to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command

ADDRESS = "hf://organisation/name, or with a branch, tag or commit: hf://organisation/name@revision"
TOKEN = "The hub's token comes from HF_TOKEN or `hf auth login`, its address from HF_ENDPOINT."


def add_hub_commands(commands: argparse._SubParsersAction) -> None:
    text = "fetch a probe from the Hugging Face Hub into a model repository, which a running service sees by itself"
    one = add_command(commands, "pull", _pull, text)
    one.epilog = TOKEN
    one.add_argument("address", help=ADDRESS)
    one.add_argument("--into", type=Path, default=Path("models"), help="model repository")

    one = add_command(commands, "push", _push, "send a probe and its evaluation to the Hugging Face Hub, with a model card")
    one.epilog = TOKEN
    one.add_argument("folder", type=Path, help="folder of the probe, such as models/pictogram/2")
    one.add_argument("address", help=ADDRESS)
    one.add_argument("--private", action="store_true", help="make the repository private, if there is none yet")


def _pull(options: argparse.Namespace) -> None:
    from ..hub import HubAddress, pull

    print(pull(HubAddress.parse(options.address), options.into))


def _push(options: argparse.Namespace) -> None:
    from ..hub import HubAddress, push

    print(push(options.folder, HubAddress.parse(options.address), options.private))
