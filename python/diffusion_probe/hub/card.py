"""The model card of a probe: what it is, what it was measured to do, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..probe.manifest import total_steps_of
from .address import HubAddress

CARD = "README.md"

HEAD = """\
---
library_name: diffusion-probe
tags:
- diffusion-probe
- text-to-image
- onnx
---
"""


def model_card(folder: Path, manifest: Mapping[str, Any], address: HubAddress) -> str:
    """Markdown. It ends with the report of the evaluation, where the folder has one."""
    capture, metric = manifest["capture"], manifest["metric"]
    steps = ", ".join(str(point["step"]) for point in manifest["decision_points"])
    rows = {
        "backbone": manifest["backbone"],
        "family": capture.get("family", "not stated"),
        "layers": f"{len(capture['layers'])}, {capture['height']} x {capture['width']} maps",
        "predicts": f"{metric['name']}, {metric['range'][0]:g} to {metric['range'][1]:g}",
        "steps": f"{steps} of {total_steps_of(manifest)}",
        "capture_id": f"`{manifest['capture_id']}`",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    report = folder / "report.md"
    evaluation = report.read_text(encoding="utf-8") if report.exists() else "This probe has not been evaluated.\n"
    return f"""{HEAD}
# {manifest["name"]} {manifest["version"]}

A probe for [Diffusion Probe](https://arxiv.org/abs/2602.23783): from the attention of the first denoising steps
it predicts the quality of the finished image.

| | |
|---|---|
{table}

```sh
diffusion-probe pull {address} --into models
```

{evaluation}"""
