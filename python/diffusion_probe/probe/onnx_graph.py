"""Export of PyTorch modules to ONNX files that hold nothing of the machine they were made on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from .network import Probe

OPSET = 18
HALF_FROM_ELEMENTS = 1024


def export_onnx(probe: Probe, path: Path) -> None:
    """Write the graph, with dynamic batch and token axes; weights are float32."""
    batch, tokens = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("tokens", min=1, max=4096)
    examples, axes = [], []
    for signal in probe.config.inputs():
        shape = [{"batch": 3, "tokens": 5}.get(axis, axis) for axis in signal.shape]
        dtype = {"F16": torch.float16, "F32": torch.float32, "U8": torch.uint8, "I64": torch.int64}[signal.dtype]
        examples.append(torch.ones(shape, dtype=dtype))
        axes.append({i: {"batch": batch, "tokens": tokens}[axis] for i, axis in enumerate(signal.shape) if isinstance(axis, str)})
    names = [signal.name for signal in probe.config.inputs()]
    fixed = len(names) - len(probe.config.signals)  # the declared signals are one variadic argument
    shapes = (*axes[:fixed], tuple(axes[fixed:])) if probe.config.signals else tuple(axes)
    export_graph(probe, tuple(examples), names, ["score"], shapes, path)


def export_graph(
    module: nn.Module,
    examples: tuple[torch.Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    axes: tuple[Any, ...],
    path: Path,
    compact: bool = False,
) -> None:
    """Export a module to one ONNX file without external data or traces of the machine it was made on.

    `compact` stores large weights as float16, which halves the file, and keeps the names of all weights, so that they can be
    read back; ONNX Runtime widens and folds them when it loads the graph.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            examples,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=axes,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            optimize=not compact,
        )
    model = strip(program.model_proto)
    if compact:
        store_half(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop names of source files and traces that the exporter leaves in a graph."""
    model.doc_string = ""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.value_info[:]
    return model


def store_half(model: onnx.ModelProto) -> None:
    """Turn every large float32 weight into a float16 one behind a Cast; ONNX Runtime folds the Cast when it loads the graph."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < HALF_FROM_ELEMENTS:
            continue
        name = weight.name
        values = onnx.numpy_helper.to_array(weight).astype(np.float16)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@torch.no_grad()
def torch_scores(probe: Probe, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """What PyTorch itself says: the selftest holds these scores, so every load proves the runtime equal to it."""
    return probe.eval()(
        *[torch.from_numpy(np.ascontiguousarray(inputs[signal.name])) for signal in probe.config.inputs()]
    ).numpy()
