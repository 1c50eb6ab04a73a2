"""An exported probe can compute its convolutions with int8."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from diffusion_probe.cli import main
from diffusion_probe.probe.onnx_probe import OnnxProbe


def export(world, folder: Path, *more: str) -> Path:
    assert main(["export", "--data", str(world.data), "--checkpoint", str(world.checkpoint), "--folder", str(folder), *more]) == 0
    return folder


def test_convolutions_of_int8_change_scores_a_little(world, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    exact, int8 = export(world, tmp_path / "exact"), export(world, tmp_path / "int8", "--int8")
    mean, largest = map(float, re.search(r"by ([\d.]+) on average, at most by ([\d.]+)", capsys.readouterr().out).groups())
    assert mean <= largest < 0.05

    graph = onnx.load(int8 / "model.onnx").graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    read = [makers[name] for node in graph.node if node.op_type == "Conv" for name in node.input[:2]]
    assert set(read) == {"DequantizeLinear"}
    assert not graph.value_info

    samples = load_file(int8 / "selftest.safetensors")
    scores = OnnxProbe(int8).score(samples)
    assert np.abs(scores - OnnxProbe(exact).score(samples)).max() <= largest + 1e-6
    assert scores == pytest.approx(OnnxProbe(int8).manifest["selftest"]["scores"], abs=1e-5)
