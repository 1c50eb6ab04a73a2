"""The signal of layers that are made to have one, and which layers are chosen."""

import json
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.data.dataset import Collection, Description
from diffusion_probe.evaluation.layers.choice import LayerChoice, choice_text, choose
from diffusion_probe.evaluation.layers.signal import LayerSignals, measure_signals
from diffusion_probe.probe.manifest import Capture, DecisionPoint, Metric

PROMPTS, SEEDS, TOKENS, SIDE = 20, 6, 3, 8
NAMES = ("noise", "within", "difficulty", "other noise")


def collection(prompts: int = PROMPTS, seeds: int = SEEDS) -> Collection:
    """Quality: how hard the prompt is, plus a part of each image. Layer `within` shows that part, `difficulty` the prompt."""
    rng = np.random.default_rng(3)
    hard, own = rng.normal(size=(prompts, 1)), rng.normal(size=(prompts, seeds))
    shown = {"within": own, "difficulty": np.repeat(hard, seeds, axis=1)}
    maps = np.zeros((prompts * seeds, 2, len(NAMES), TOKENS, SIDE, SIDE), np.float16)
    for index, name in enumerate(NAMES):
        level = shown.get(name, rng.normal(size=(prompts, seeds))).ravel()
        noise = rng.normal(size=(len(level), 2, TOKENS, SIDE, SIDE)) * 0.1
        maps[:, :, index] = 0.2 * np.exp(np.clip(0.3 * level[:, None, None, None, None] + noise - 1, None, 0))
    capture = Capture("tiny", NAMES, SIDE, SIDE, "mean", "kept", "area")
    points = (DecisionPoint(1, 900.0), DecisionPoint(3, 700.0))
    description = Description("tiny", capture, {}, 4, Metric("own", None, None), points, {"train": seeds})
    mask = np.ones((prompts * seeds, TOKENS), np.uint8)
    arrays = {"attention": maps, "token_mask": mask, "quality": (3 * hard + own).astype(np.float32).ravel()}
    return Collection(description, "train", [f"prompt {index}" for index in range(prompts)], arrays)


def test_only_signal_within_prompts_counts() -> None:
    signals = measure_signals(collection(), permutations=60)
    strength = dict(zip(NAMES, signals.mean, strict=True))
    assert signals.steps == (1, 3)
    assert strength["within"] > 0.5
    assert 0.05 < signals.noise_floor < 0.4
    for name in ("noise", "difficulty", "other noise"):
        assert strength[name] < signals.noise_floor
    choice = choose(signals, 2, (), {})
    assert choice.kept == ["within"]
    assert "difficulty" in choice_text(choice)


def test_without_any_signal_few_choices_are_made() -> None:
    """The floor is one that layers without signal exceed in one case of twenty."""
    above = 0
    for seed in range(8):
        samples = collection(12, 4)
        samples.arrays["quality"] = np.random.default_rng(seed).random(48).astype(np.float32)
        signals = measure_signals(samples, seed, permutations=40)
        above += signals.mean.max() > signals.noise_floor
    assert above <= 2


@pytest.mark.parametrize(
    ("prompts", "seeds", "message"), [(9, 4, "9 prompts with all qualities"), (12, 2, "2 images per prompt")]
)
def test_too_few_samples_are_refused(prompts: int, seeds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_signals(collection(prompts, seeds))


def test_a_prompt_with_a_failed_quality_does_not_count() -> None:
    samples = collection()
    samples.arrays["quality"][0] = np.nan
    assert measure_signals(samples, permutations=20).prompts == PROMPTS - 1


def signals_of(strength: list[float]) -> LayerSignals:
    names = tuple(f"layer.{index}" for index in range(len(strength)))
    return LayerSignals(names, (5,), np.array(strength)[:, None], 0.1, 50, 8)


def test_half_of_the_places_are_spread_over_the_depth() -> None:
    signals = signals_of([0.2, 0.15, 0.05, 0.12, 0.9, 0.8, 0.85, 0.7])
    choice = choose(signals, 4, (), {})
    assert choice.kept == ["layer.0", "layer.4", "layer.5", "layer.6"]
    why = {judged.layer: judged.why for judged in choice.layers}
    assert why["layer.0"] == "strongest of layers 1 to 4"
    assert why["layer.4"] == "strongest of layers 5 to 8"
    assert why["layer.5"] == why["layer.6"] == "strongest of the rest"
    assert why["layer.2"] == "below the noise floor"
    assert why["layer.7"] == "weaker than the kept ones"


@pytest.mark.parametrize("most", [1, 3, 8, 20])
def test_never_more_than_asked_for_and_all_above_the_floor(most: int) -> None:
    strength = np.random.default_rng(most).uniform(0, 0.3, 13).tolist()
    choice = choose(signals_of(strength), most, (), {})
    assert len(choice.kept) == min(most, sum(value > 0.1 for value in strength))
    assert all(judged.signal > 0.1 for judged in choice.layers if judged.kept)


def test_without_signal_layers_are_spread_over_the_depth_and_the_text_says_so(tmp_path: Path) -> None:
    choice = choose(signals_of([0.05, -0.1, 0.1, 0.0]), 2, ("layer.1", "layer.3"), {"most": 2})
    assert choice.kept == ["layer.1", "layer.3"]
    assert not choice.any_signal
    assert "no layer rises above the noise floor" in choice_text(choice)
    choice.write(tmp_path)
    assert LayerChoice.read(tmp_path) == choice
    assert json.loads((tmp_path / "layers.json").read_text())["noise_floor"] == 0.1


@pytest.mark.parametrize("text", ["{", "{}", '{"layers": [{"name": "a"}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "layers.json").write_text(text)
    with pytest.raises(ValueError, match=r"layers\.json is not valid, delete it"):
        LayerChoice.read(tmp_path)
