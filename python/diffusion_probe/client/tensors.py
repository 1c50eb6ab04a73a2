"""Arguments as NumPy arrays: arrays, and tensors of PyTorch on any device. PyTorch itself is not imported."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InvalidInputError

if TYPE_CHECKING:
    import torch

    Tensor = np.ndarray | torch.Tensor

NUMBER_DTYPES = ("float16", "bfloat16", "float32", "float64", "int32", "int64")
BFLOAT16 = np.dtype([("bfloat16", "<u2")])  # NumPy has none: the bits of each number
_NAMES = {np.dtype(name): name for name in ("bool", "uint8", *NUMBER_DTYPES) if name != "bfloat16"} | {BFLOAT16: "bfloat16"}


def is_tensor(value: Any) -> bool:
    """Whether `as_array` takes it, if its dtype is an accepted one."""
    return isinstance(value, np.ndarray) or _is_torch(value)


def as_array(field: str, value: Any, dtypes: Collection[str]) -> np.ndarray:
    """The value as a contiguous little-endian array of one of these dtypes. Raises InvalidInputError.

    A bfloat16 array is one of BFLOAT16.
    """
    expected = f"a NumPy array or a torch tensor of {' or '.join(dtypes)}"
    if not is_tensor(value):
        raise InvalidInputError(field, f"a {type(value).__name__}", expected)
    try:
        array = value if isinstance(value, np.ndarray) else _from_torch(value)
    except (TypeError, NotImplementedError) as error:  # a sparse tensor, one of a dtype that NumPy lacks, one without data
        raise InvalidInputError(field, f"a tensor that NumPy cannot hold ({error})", expected) from error
    name = dtype_name(array)
    if name == "bfloat16" and array.dtype != BFLOAT16:  # of the package ml_dtypes, as JAX has it
        array = np.ascontiguousarray(array).view(BFLOAT16)
    if name not in dtypes:
        raise InvalidInputError(field, name, expected)
    if array.flags.c_contiguous and array.dtype.str[0] != ">" and sys.byteorder == "little":
        return array
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def dtype_name(array: np.ndarray) -> str:
    """Such as float16."""
    return _NAMES.get(array.dtype) or array.dtype.name


def widened(array: np.ndarray) -> np.ndarray:
    """A bfloat16 array as float32, which has the same numbers; others as they are."""
    if array.dtype != BFLOAT16:
        return array
    return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)


def _is_torch(value: Any) -> bool:
    return any(kind.__name__ == "Tensor" and kind.__module__ == "torch" for kind in type(value).__mro__)


def _from_torch(tensor: Any) -> np.ndarray:
    torch = sys.modules["torch"]
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy()
