"""Commands compute on the requested device, and in bfloat16 only on processors with fast kernels for it."""

import pytest
import torch

from diffusion_probe.devices import device_named, mixed_precision


@pytest.mark.parametrize(
    ("capability", "dtype"), [("AVX2", torch.float32), ("DEFAULT", torch.float32), ("AVX512", torch.bfloat16)]
)
def test_a_cpu_computes_in_bfloat16_only_with_avx512(
    capability: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with mixed_precision():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_the_error_names_a_missing_device() -> None:
    assert device_named("cpu").type == "cpu"
    with pytest.raises(ValueError, match="the device cuda:99 cannot be used"):
        device_named("cuda:99")
