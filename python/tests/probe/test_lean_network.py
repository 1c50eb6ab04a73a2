"""The network `lean`: padding and the rest of the batch do not change a score, and the exported graph computes the same."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from diffusion_probe.probe.config import ProbeConfig
from diffusion_probe.probe.lean_network import LeanProbe, pooled_maps
from diffusion_probe.probe.networks import build_network
from diffusion_probe.probe.onnx_export import export_onnx

CONFIGS = {
    "8x8": ProbeConfig(layers=8, grid=8, width=16, network="lean"),
    "16x16": ProbeConfig(layers=3, grid=16, width=8, mixers=1, network="lean", metric_range=(-2.5, 2.0)),
}


def probe_of(config: ProbeConfig) -> LeanProbe:
    torch.manual_seed(0)
    return build_network(config).eval()


def inputs_of(config: ProbeConfig, batch: int, tokens: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, config.layers, tokens, config.grid, config.grid)
    return {
        "attention": torch.rand(shape, generator=generator).softmax(dim=2).half(),
        "token_mask": torch.ones(batch, tokens, dtype=torch.uint8),
        "timestep": torch.full((batch,), 778.639),
    }


def scores(probe: LeanProbe, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        return probe(*inputs.values()).numpy()


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LeanProbe, Path]:
    probe = probe_of(CONFIGS[request.param])
    path = tmp_path_factory.mktemp("probe") / "model.onnx"
    export_onnx(probe, path)
    return probe, path


def test_the_graph_computes_what_pytorch_computes_for_1_to_77_tokens(exported) -> None:
    probe, path = exported
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch, tokens in ((1, 1), (3, 5), (8, 13), (2, 30), (8, 77)):
        inputs = inputs_of(probe.config, batch, tokens, seed=batch)
        inputs["token_mask"][0, tokens // 2 + 1 :] = 0
        (result,) = session.run(["score"], {name: value.numpy() for name, value in inputs.items()})
        assert result == pytest.approx(scores(probe, inputs), abs=1e-4)


def test_scores_stay_within_the_range_of_the_metric_and_differ(exported) -> None:
    probe, _ = exported
    low, high = probe.config.metric_range
    values = scores(probe, inputs_of(probe.config, 16, 6))
    assert low < values.min() < values.max() < high


@pytest.mark.parametrize("place", [0, 3, 7], ids=["before", "between", "after"])
@pytest.mark.parametrize("name", CONFIGS)
def test_padding_does_not_change_the_score(name: str, place: int) -> None:
    probe = probe_of(CONFIGS[name])
    inputs = inputs_of(probe.config, 2, 7)
    attention, mask = inputs["attention"], inputs["token_mask"]
    noise = torch.rand(2, probe.config.layers, 4, probe.config.grid, probe.config.grid).half()
    padded = {
        **inputs,
        "attention": torch.cat([attention[:, :, :place], noise, attention[:, :, place:]], dim=2),
        "token_mask": torch.cat([mask[:, :place], torch.zeros(2, 4, dtype=torch.uint8), mask[:, place:]], dim=1),
    }
    assert scores(probe, padded) == pytest.approx(scores(probe, inputs), abs=1e-5)
    assert scores(probe, {**padded, "attention": padded["attention"].flip(0)})[0] != pytest.approx(scores(probe, inputs)[0])


def test_a_score_does_not_depend_on_the_rest_of_the_batch() -> None:
    probe = probe_of(CONFIGS["8x8"])
    inputs = inputs_of(probe.config, 6, 7)
    together = scores(probe, inputs)
    for row in range(6):
        alone = scores(probe, {key: value[row : row + 1] for key, value in inputs.items()})
        assert alone[0] == pytest.approx(together[row], abs=1e-5)


def test_the_score_depends_on_the_timestep_and_the_order_of_tokens() -> None:
    probe = probe_of(CONFIGS["8x8"])
    inputs = inputs_of(probe.config, 4, 7)
    before = scores(probe, inputs)
    assert np.abs(scores(probe, {**inputs, "timestep": torch.full((4,), 344.9)}) - before).max() > 1e-5
    assert np.abs(scores(probe, {**inputs, "attention": inputs["attention"].flip(2)}) - before).max() > 1e-5


def test_maps_of_16x16_are_pooled_to_means_of_2x2() -> None:
    maps = torch.rand(2, 3, 4, 16, 16)
    expected = torch.nn.functional.avg_pool2d(maps.flatten(0, 1), 2).unflatten(0, (2, 3))
    assert torch.allclose(pooled_maps(maps), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signals": ("preview",)}, "reads attention alone, not preview"),
        ({"grid": 12}, "maps of 12x12: the network lean needs a grid divisible by 8"),
        ({"network": "tall"}, "unknown network 'tall': expected one of full, lean"),
    ],
)
def test_what_it_cannot_read_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(ProbeConfig(**{"layers": 2, "grid": 8, "network": "lean", **changes}))
