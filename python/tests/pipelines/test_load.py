"""Pipelines by ID, by folder, and from a function of the user."""

import sys
from pathlib import Path

import pytest
import torch

from diffusion_probe.pipelines.load import load_pipeline, name_of
from diffusion_probe.tiny import TinyBackbone

CPU = torch.device("cpu")


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user."""
    source = """
from diffusion_probe.tiny import TinyBackbone

def tiny(name="sd15"):
    return TinyBackbone(name).pipe

def nothing():
    return None
"""
    (tmp_path / "own_pipelines.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_pipelines", raising=False)


@pytest.mark.usefixtures("own_module")
def test_a_function_makes_the_pipeline_with_the_arguments_of_load() -> None:
    pipe = load_pipeline("own_pipelines:tiny", CPU, None, {"name": "flux"})
    assert type(pipe) is type(TinyBackbone("flux").pipe)
    assert name_of("own_pipelines:tiny") == "own_pipelines:tiny"


@pytest.mark.usefixtures("own_module")
@pytest.mark.parametrize(
    ("pipeline", "dtype", "message"),
    [
        ("own_pipelines:nothing", None, "returned a NoneType: expected a pipeline of diffusers"),
        (
            "own_pipelines:absent",
            None,
            "the pipeline own_pipelines:absent cannot be loaded: own_pipelines has no function 'absent'",
        ),
        ("no_such_module:tiny", None, "there is no module no_such_module"),
        ("own_pipelines:tiny", "bfloat16", "--dtype bfloat16 is for an ID or a folder"),
    ],
)
def test_what_makes_no_pipeline_is_named(pipeline: str, dtype: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pipeline(pipeline, CPU, dtype, {})


def test_a_folder_is_loaded_in_the_dtype(tmp_path: Path) -> None:
    TinyBackbone("sd15").pipe.save_pretrained(tmp_path / "tiny")
    pipe = load_pipeline(str(tmp_path / "tiny"), CPU, "bfloat16", {})
    assert pipe.unet.dtype == torch.bfloat16
    assert name_of(str(tmp_path / "tiny")) == "tiny"
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_pipeline(str(tmp_path), CPU, None, {})
