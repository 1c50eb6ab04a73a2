"""Lazy arrays return what arrays in memory would, and read only what is indexed."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.data.dataset import Collection, Description, with_layers
from diffusion_probe.data.inputs import probe_inputs
from diffusion_probe.data.lazy_array import LazyArray
from diffusion_probe.data.shards import read_split, shard_path, write_shard
from diffusion_probe.data.source import Samples
from diffusion_probe.probe.config import ProbeConfig
from diffusion_probe.probe.manifest import Capture, DecisionPoint, Metric
from diffusion_probe.training.batches import Batch, prefetch, prompt_batch, sample_batch
from diffusion_probe.training.settings import PAPER, TrainSettings

LAYERS, GRID, SEEDS = 3, 8, 4
SHARD_PROMPTS = (3, 2, 4)
TOKENS = (5, 7, 2)  # of the shards
POINTS = (DecisionPoint(1, 900.0), DecisionPoint(2, 600.0))
CPU = torch.device("cpu")


def samples(shard: int) -> Samples:
    rng = np.random.default_rng(shard)
    count = SHARD_PROMPTS[shard] * SEEDS
    attention = rng.random((count, len(POINTS), LAYERS, TOKENS[shard], GRID, GRID)).astype(np.float16)
    mask = np.ones((count, TOKENS[shard]), np.uint8)
    preview = rng.integers(256, size=(count, len(POINTS), 3, 16, 16), dtype=np.uint8)
    return Samples(attention, mask, rng.random(count, np.float32), preview=preview)


def padded(field: str, shards: list[Samples]) -> np.ndarray:
    """All shards in memory, padded to the most tokens."""
    arrays = [getattr(one, field) for one in shards]
    if field != "attention":
        return np.concatenate(arrays)
    most = max(TOKENS)
    return np.concatenate([np.pad(array, [(0, 0)] * 3 + [(0, most - array.shape[3])] + [(0, 0)] * 2) for array in arrays])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    capture = Capture("made up", ("a", "b", "c"), GRID, GRID, "mean", "all", "area")
    Description("made up", capture, {"dtype": "float32"}, 4, Metric("chance", (0.0, 1.0), None), POINTS, {"train": SEEDS}).write(
        tmp_path
    )
    for shard, prompts in enumerate(SHARD_PROMPTS):
        names = [f"prompt {shard}.{index}" for index in range(prompts)]
        write_shard(shard_path(tmp_path, "train", shard), samples(shard), names)
    return tmp_path


def in_memory(collection: Collection) -> Collection:
    return replace(collection, arrays={name: np.asarray(array) for name, array in collection.arrays.items()})


@pytest.mark.parametrize("field", ["attention", "preview"])
def test_indexing_returns_what_the_array_in_memory_returns(folder: Path, field: str) -> None:
    stored = read_split(folder, "train").arrays[field]
    array = padded(field, [samples(shard) for shard in range(3)])
    assert isinstance(stored, LazyArray)
    assert (stored.shape, stored.dtype, len(stored)) == (array.shape, array.dtype, len(array))
    assert np.array_equal(np.asarray(stored), array)
    for rows in (slice(None), slice(10, 14), slice(30, 99), np.array([35, 0, 13, 13]), slice(0, 0)):
        for point in range(len(POINTS)):
            assert np.array_equal(stored[rows, point], array[rows, point])
    some = stored[np.array([30, 4, 12, 11])][1:]
    assert np.array_equal(some[:, 1], array[[4, 12, 11], 1])
    assert np.array_equal(np.asarray(some), array[[4, 12, 11]])


def test_layers_and_prompts_can_be_chosen_repeatedly(folder: Path) -> None:
    collection = read_split(folder, "train")
    array = padded("attention", [samples(shard) for shard in range(3)])
    narrow = with_layers(with_layers(collection, ["c", "b", "a"]), ["a", "c"]).take([8, 2])
    rows = [*range(32, 36), *range(8, 12)]
    assert np.array_equal(np.asarray(narrow.arrays["attention"]), array[rows][:, :, [0, 2]])
    assert narrow.arrays["attention"].shape == (8, 2, 2, 7, GRID, GRID)
    assert np.array_equal(probe_inputs(narrow, 2, slice(0, 5))["attention"], array[rows][:5, 1][:, [0, 2]])


@pytest.mark.parametrize("draw", [prompt_batch, sample_batch])
def test_batches_equal_those_of_the_data_in_memory(folder: Path, draw) -> None:
    collection = with_layers(read_split(folder, "train"), ["b", "c"])
    config = ProbeConfig(layers=2, grid=GRID, width=8, signals=("preview",), preview_size=16)
    settings = TrainSettings(batch_prompts=4, seed=5, low_share=PAPER["low_share"])
    with prefetch(lambda step: [draw(collection, config, settings, step)], CPU) as batches:
        for step in (0, 1, 2, 7):
            (batch,) = batches(step)
            expected = draw(in_memory(collection), config, settings, step)
            assert len(batch.inputs) == len(expected.inputs) == 4
            assert all(torch.equal(*pair) for pair in zip(batch.inputs, expected.inputs, strict=True))
            assert torch.equal(batch.quality, expected.quality)
            assert np.array_equal(batch.rows, expected.rows)
            assert np.array_equal(collection.quality.ravel()[batch.rows], batch.quality.ravel())
            timesteps = np.array([point.timestep for point in collection.description.points], np.float32)
            assert np.array_equal(timesteps[batch.points], batch.inputs[2])


def test_prompts_that_name_no_side_are_shown_mirrored(folder: Path) -> None:
    stored = read_split(folder, "train")
    prompts = ["a cat LEFT of a dog" if index % 2 else "a cat" for index in range(len(stored.prompts))]
    collection = replace(stored, prompts=prompts)
    config = ProbeConfig(layers=LAYERS, grid=GRID, width=8, signals=("preview",), preview_size=16)
    settings = TrainSettings(batch_prompts=len(prompts), seed=5, mirror_share=1.0)
    seeds = collection.seeds
    plain = prompt_batch(collection, config, replace(settings, mirror_share=0.0), 0).inputs
    shown = prompt_batch(collection, config, settings, 0).inputs
    drawn = np.random.default_rng([5, 0]).choice(len(prompts), size=len(prompts), replace=False)
    for place, prompt in enumerate(drawn):
        rows = slice(place * seeds, (place + 1) * seeds)
        for signal, before, after in zip(config.inputs(), plain, shown, strict=True):
            is_mirrored = signal.name in ("attention", "preview") and prompt % 2 == 0
            assert torch.equal(after[rows], before[rows].flip(-1) if is_mirrored else before[rows])


def test_an_error_while_reading_ahead_is_raised_at_its_step() -> None:
    def draw(step: int):
        if step == 2:
            raise ValueError("the disk failed")
        return [Batch([torch.tensor([step])], torch.tensor([step]), np.array([step]), np.array([0]))]

    with prefetch(draw, CPU) as batches:
        assert [int(batches(step)[0].quality) for step in (0, 1)] == [0, 1]
        with pytest.raises(ValueError, match="the disk failed"):
            batches(2)


def test_a_batch_is_read_without_the_whole_split(folder: Path) -> None:
    for shard in range(3, 40):
        source = shard_path(folder, "train", shard % 3)
        shard_path(folder, "train", shard).write_bytes(source.read_bytes())
    config = ProbeConfig(layers=LAYERS, grid=GRID, width=8)
    settings = TrainSettings(batch_prompts=2)
    opened = len(os.listdir("/dev/fd"))
    tracemalloc.start()
    collection = read_split(folder, "train").with_quality()
    for step in range(5):
        inputs = prompt_batch(collection, config, settings, step).inputs
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    whole = np.prod(collection.arrays["attention"].shape) * 2
    assert inputs[0].nbytes < peak < whole / 4
    assert len(os.listdir("/dev/fd")) == opened


def test_a_shard_changed_since_it_was_opened_is_an_error(folder: Path) -> None:
    stored = read_split(folder, "train").arrays["attention"]
    write_shard(shard_path(folder, "train", 1), samples(2), ["other"] * SHARD_PROMPTS[2])
    assert len(stored[0:12, 0]) == 12
    with pytest.raises(ValueError, match=r"train-00001\.safetensors was changed while it was being read"):
        stored[12:13, 0]


def test_the_error_names_a_truncated_shard(folder: Path) -> None:
    path = shard_path(folder, "train", 2)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"train-00002\.safetensors is damaged, delete it and collect it again"):
        read_split(folder, "train")
