"""A sample's score depends on that sample alone, and the exported graph computes the same scores as PyTorch."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from diffusion_probe.probe.blocks import log_scaled
from diffusion_probe.probe.config import ProbeConfig
from diffusion_probe.probe.network import Probe, fast_channels
from diffusion_probe.probe.onnx_export import export_onnx

CONFIGS = {
    "attention": ProbeConfig(layers=5),
    # One transformer block, since exporting takes seconds.
    "preview": ProbeConfig(layers=3, width=8, mixers=1, signals=("preview",)),
    "token_ids": ProbeConfig(layers=3, width=8, mixers=1, signals=("token_ids",), vocabulary=70),
    "both": ProbeConfig(layers=3, width=8, mixers=1, signals=("preview", "token_ids"), vocabulary=70),
    "everything": ProbeConfig(
        layers=3,
        width=8,
        mixers=1,
        signals=("token_ids", "preview", "guidance_difference"),
        vocabulary=70,
        preview_width=8,
        preview_head=True,
    ),
    "wide range": ProbeConfig(layers=2, width=8, mixers=1, metric_range=(-2.5, 2.0)),
}


def probe_of(config: ProbeConfig) -> Probe:
    torch.manual_seed(0)
    return Probe(config).eval()


def inputs_of(config: ProbeConfig, batch: int, tokens: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(batch, config.layers, tokens, 16, 16, generator=generator).softmax(dim=2).half()
    inputs = {
        "attention": attention,
        "token_mask": torch.ones(batch, tokens, dtype=torch.uint8),
        "timestep": torch.full((batch,), 778.639),
        "preview": (torch.rand(batch, 3, 64, 64, generator=generator) * 2 - 1).half(),
        "token_ids": torch.randint(2, 65, (batch, tokens), generator=generator),
        "guidance_difference": torch.rand(batch, generator=generator) + 0.1,
    }
    return {signal.name: inputs[signal.name] for signal in config.inputs()}


def scores(probe: Probe, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        return probe(*inputs.values()).numpy()


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda name: name.replace(" ", "_"))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    config = CONFIGS[request.param]
    probe = probe_of(config)
    path: Path = tmp_path_factory.mktemp("probe") / "model.onnx"
    export_onnx(probe, path)
    return probe, path


def test_the_graph_computes_what_pytorch_computes(exported) -> None:
    probe, path = exported
    assert path.stat().st_size <= 5_000_000
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == [signal.name for signal in probe.config.inputs()]
    for batch, tokens in ((1, 1), (3, 5), (8, 13), (2, 30)):
        inputs = inputs_of(probe.config, batch, tokens, seed=batch)
        inputs["token_mask"][0, tokens // 2 + 1 :] = 0
        (result,) = session.run(["score"], {name: value.numpy() for name, value in inputs.items()})
        assert result.shape == (batch,)
        assert result == pytest.approx(scores(probe, inputs), abs=1e-4)


@pytest.mark.parametrize("layers", [9, 15])
def test_onnx_runtime_computes_every_convolution_in_its_fast_layout(layers: int, tmp_path: Path) -> None:
    export_onnx(probe_of(ProbeConfig(layers=layers, mixers=0)), tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    domains = [node.domain for node in nodes if node.op_type == "Conv"]
    if not any(domains):
        pytest.skip("this processor has no fast convolutions")
    assert set(domains) == {"com.microsoft.nchwc"}


@pytest.mark.parametrize(("channels", "sizes"), [(4, [4]), (10, [8, 2]), (18, [16, 2]), (30, [16, 8, 6]), (140, [128, 8, 4])])
def test_channels_are_split_for_vectors_of_eight_and_of_sixteen(channels: int, sizes: list[int]) -> None:
    assert fast_channels(channels) == sizes


def test_scores_stay_within_the_range_of_the_metric(exported) -> None:
    probe, _ = exported
    low, high = probe.config.metric_range
    values = scores(probe, inputs_of(probe.config, 16, 6))
    assert low < values.min() <= values.max() < high
    assert values.std() > 0


@pytest.mark.parametrize("name", ["attention", "both", "everything"])
def test_a_score_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    probe = probe_of(CONFIGS[name])
    inputs = inputs_of(probe.config, 6, 7)
    together = scores(probe, inputs)
    for row in range(6):
        alone = scores(probe, {key: value[row : row + 1] for key, value in inputs.items()})
        assert alone[0] == pytest.approx(together[row], abs=1e-5)


@pytest.mark.parametrize("place", [0, 3, 7], ids=["before", "between", "after"])
def test_padding_does_not_change_the_score(place: int) -> None:
    probe = probe_of(CONFIGS["attention"])
    inputs = inputs_of(probe.config, 2, 7)
    noise = torch.rand(2, 5, 4, 16, 16).half()
    noise[0, 0, 0, 0, 0] = float("nan")
    attention, mask = inputs["attention"], inputs["token_mask"]
    padded = {
        **inputs,
        "attention": torch.cat([attention[:, :, :place], noise.nan_to_num(), attention[:, :, place:]], dim=2),
        "token_mask": torch.cat([mask[:, :place], torch.zeros(2, 4, dtype=torch.uint8), mask[:, place:]], dim=1),
    }
    assert scores(probe, padded) == pytest.approx(scores(probe, inputs), abs=1e-5)


def test_the_score_depends_on_the_timestep_and_the_order_of_tokens() -> None:
    probe = probe_of(CONFIGS["attention"])
    inputs = inputs_of(probe.config, 4, 7)
    before = scores(probe, inputs)
    assert np.abs(scores(probe, {**inputs, "timestep": torch.full((4,), 344.9)}) - before).max() > 1e-4
    assert np.abs(scores(probe, {**inputs, "attention": inputs["attention"].flip(2)}) - before).max() > 1e-5


def test_log_scale_spans_minus_one_to_one() -> None:
    values = log_scaled(torch.tensor([0.0, 1e-4, 1e-2, 1.0]))
    assert values.tolist() == pytest.approx([-1, -1, 0, 1], abs=1e-5)


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="depth"):
        Probe(ProbeConfig(layers=2, signals=("depth",)))
