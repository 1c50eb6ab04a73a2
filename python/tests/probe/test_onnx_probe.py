"""What a probe computes is decided by the files of its folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from diffusion_probe.local import LocalProbe

SHIPPED = Path(__file__).parents[3] / "models" / "pictogram" / "2"


def graph_with_weights_in(location: str, as_constant: bool) -> onnx.ModelProto:
    """A graph that adds weights from another file to the timestep."""
    weights = numpy_helper.from_array(np.ones(1, np.float32), "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    node = helper.make_node("Constant", [], ["weights"], value=weights)
    nodes = [*([node] if as_constant else []), helper.make_node("Add", ["timestep", "weights"], ["score"])]
    inputs = [helper.make_tensor_value_info("timestep", TensorProto.FLOAT, ["batch"])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [] if as_constant else [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("as_constant", [False, True], ids=["initializer", "constant"])
@pytest.mark.parametrize("place", ["beside", "working folder", "absolute", "above"])
def test_weights_outside_of_the_graph_are_refused(tmp_path: Path, monkeypatch, place: str, as_constant: bool) -> None:
    folder = tmp_path / "probe"
    shutil.copytree(SHIPPED, folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for target in (folder, elsewhere, tmp_path):
        (target / "weights.bin").write_bytes(np.ones(1, np.float32).tobytes())
    location = {"absolute": str(tmp_path / "weights.bin"), "above": "../weights.bin"}.get(place, "weights.bin")
    (folder / "model.onnx").write_bytes(graph_with_weights_in(location, as_constant).SerializeToString())
    with pytest.raises(ValueError, match=r"model\.onnx refers to weights in another file"):
        LocalProbe(folder)


def test_the_shipped_probe_loads_with_its_selftest() -> None:
    manifest = LocalProbe(SHIPPED, threads=1).manifest
    assert manifest == json.loads((SHIPPED / "probe.json").read_text())
