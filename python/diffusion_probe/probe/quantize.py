"""Quantization of an exported probe: the convolutions compute with int8.

Its other products stay float32: quantized too, they cost accuracy within prompts. See docs/adr/0038-the-student-network.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from .onnx_export import strip

OPERATORS = ["Conv", "Relu"]


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Iterable[Mapping[str, np.ndarray]]):
        self.feeds = iter(feeds)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantize_convolutions(path: Path, feeds: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Rewrite an ONNX file with int8 convolutions (static, QDQ; one scale per output channel of a weight).

    `feeds`: representative inputs by name, in the graph's dtypes; their values set the ranges of the activations. Weights use 7
    of their 8 bits, because processors without VNNI add pairs of products in 16 bits:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8
    """
    logging.getLogger().addFilter(_without_advice)
    try:
        quantize_static(
            path,
            path,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.getLogger().removeFilter(_without_advice)
    path.write_bytes(strip(onnx.load(path)).SerializeToString(deterministic=True))


def _without_advice(record: logging.LogRecord) -> bool:
    """Without the advice to pre-process the graph, which changes nothing here."""
    return "pre-processing" not in record.getMessage()
