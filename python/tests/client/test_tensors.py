"""Arrays of NumPy and tensors of PyTorch give the same request, whatever their dtype, layout and device."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors import deserialize

from diffusion_probe.client import InvalidInputError
from diffusion_probe.client.requests import score_request
from diffusion_probe.local import LocalProbe

ROOT = Path(__file__).parents[3]
SHAPE = (3, 2, 4, 5, 5)
TENSOR = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))


def sent(attention, timestep=1.0, **options) -> dict[str, tuple[str, list[int], bytes]]:
    """What the body of a request holds: dtype, shape and bytes of each tensor."""
    tensors = deserialize(score_request(attention, timestep, options).encode())
    return {name: (entry["dtype"], list(entry["shape"]), bytes(entry["data"])) for name, entry in tensors}


@pytest.mark.parametrize(("dtype", "name"), [(torch.float16, "F16"), (torch.bfloat16, "BF16"), (torch.float32, "F32")], ids=str)
def test_the_bits_of_a_tensor_are_sent(dtype: torch.dtype, name: str) -> None:
    tensor = TENSOR.to(dtype)
    assert sent(tensor)["attention"] == (name, list(SHAPE), tensor.contiguous().view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_layout_and_gradient_change_nothing(dtype: torch.dtype) -> None:
    tensor = TENSOR.to(dtype)
    strided = tensor.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    assert not strided.is_contiguous()
    every_second = torch.stack([tensor, tensor * 0.5], dim=1).flatten(0, 1)[::2]
    for other in (strided, every_second, torch.nn.Parameter(tensor), tensor.clone().requires_grad_() * 1):
        assert sent(other) == sent(tensor)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_tensor_on_a_gpu() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert sent(TENSOR.to("cuda", dtype)) == sent(TENSOR.to(dtype))


def test_arrays_of_numpy() -> None:
    array = TENSOR.numpy()
    for other in (array, np.asfortranarray(array), array.astype(">f4"), np.stack([array, array], -1)[..., 0]):
        assert sent(other) == sent(TENSOR)
    assert sent(array.astype(ml_dtypes.bfloat16)) == sent(TENSOR.bfloat16())


@pytest.mark.parametrize(
    "timestep",
    [
        *(np.float32(600), np.int64(600), np.full(3, 600.0), np.full(3, 600), np.array(600.0)),
        *(torch.tensor(600), torch.tensor(600.0), torch.full((3,), 600), torch.full((3,), 600.0, dtype=torch.bfloat16)),
    ],
    ids=repr,
)
def test_a_timestep_as_schedulers_give_it(timestep) -> None:
    assert sent(TENSOR, timestep)["timestep"] == ("F32", [3], np.full(3, 600, np.float32).tobytes())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.int64], ids=str)
def test_a_mask_as_tokenizers_give_it(dtype: torch.dtype) -> None:
    mask = torch.eye(3, 4).to(dtype)
    assert sent(TENSOR, token_mask=mask)["token_mask"] == ("U8", [3, 4], np.eye(3, 4, dtype=np.uint8).tobytes())


def test_signals() -> None:
    signals = {"preview": TENSOR[:, 0, :3].bfloat16(), "token_ids": torch.arange(12).reshape(3, 4)}
    body = sent(TENSOR, signals=signals)
    assert body["preview"][:2] == ("BF16", [3, 3, 5, 5])
    assert body["token_ids"] == ("I64", [3, 4], np.arange(12).tobytes())


@pytest.mark.parametrize(
    ("tensor", "received"),
    [
        (TENSOR.double(), "float64"),
        (TENSOR.to_sparse(), "a tensor that NumPy cannot hold"),
        (TENSOR.to(torch.float8_e4m3fn), "a tensor that NumPy cannot hold"),
        (TENSOR.to("meta"), "a tensor that NumPy cannot hold"),
        (TENSOR[0], r"\[2, 4, 5, 5\]"),
    ],
    ids=["float64", "sparse", "float8", "meta", "shape"],
)
def test_a_tensor_that_is_refused(tensor: torch.Tensor, received: str) -> None:
    with pytest.raises(InvalidInputError, match=f"attention is {received}"):
        score_request(tensor, 1.0)


def test_the_service_scores_bfloat16_as_the_probe_in_process_does(client_of, service, group) -> None:
    tensors, _ = group
    attention, mask = torch.from_numpy(tensors["attention"]).bfloat16(), torch.from_numpy(tensors["token_mask"])
    timestep = torch.from_numpy(tensors["timestep"])
    outcome = client_of(service.origin).score(attention, timestep, token_mask=mask)
    local = LocalProbe(ROOT / "models" / outcome.model / str(outcome.version), threads=1)
    scores = local.score(attention, timestep, token_mask=mask)
    np.testing.assert_allclose(scores, [result.score for result in outcome.results], atol=1e-3)
