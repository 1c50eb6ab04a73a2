"""Export of PyTorch modules to ONNX files without source paths or stack traces."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from .blocks import Network

OPSET = 18
HALF_FROM_ELEMENTS = 1024  # smaller weights stay float32: they take little space
# They warn of operators that no probe has, and of nodes that ONNX Runtime folds itself.
NOISY_LOGGERS = ("torch.onnx._internal.exporter._registration", "onnxscript.optimizer._constant_folding")
TORCH_DTYPES = {"F16": torch.float16, "F32": torch.float32, "U8": torch.uint8, "I64": torch.int64}


def export_onnx(probe: Network, path: Path) -> None:
    """Write the graph of a probe, with dynamic batch and token axes and float32 weights."""
    dims = {name: torch.export.Dim(name, min=1, max=4096) for name in ("batch", "tokens")}
    specs = probe.config.inputs()
    examples, axes = [], []
    for spec in specs:
        shape = [{"batch": 3, "tokens": 5}.get(axis, axis) for axis in spec.shape]
        examples.append(torch.ones(shape, dtype=TORCH_DTYPES[spec.dtype]))
        axes.append({i: dims[axis] for i, axis in enumerate(spec.shape) if axis in dims})
    fixed = len(specs) - len(probe.config.signals)  # the signals are one variadic argument of `forward`
    shapes = (*axes[:fixed], tuple(axes[fixed:])) if probe.config.signals else tuple(axes)
    export_graph(probe, tuple(examples), [spec.name for spec in specs], ["score"], shapes, path)


def export_graph(
    module: nn.Module,
    examples: tuple[torch.Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    axes: tuple[Any, ...],
    path: Path,
    compact: bool = False,
) -> None:
    """Export a module to one ONNX file, weights included. `axes` gives the dynamic axes of each example.

    `compact` stores large weights as float16 and keeps the names of all weights, so that they can be read back.
    """
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
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
    """Remove what the exporter records about the source code: file names, stack traces, intermediate shapes."""
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
    """Store large float32 weights as float16, each followed by a Cast that ONNX Runtime folds when it loads the graph."""
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
