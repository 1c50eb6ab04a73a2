"""Collected samples are resumable, checked and grouped by prompt."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffusion_probe.cli import main
from diffusion_probe.data.collect import collect
from diffusion_probe.data.dataset import Description, with_layers
from diffusion_probe.data.shards import read_split
from diffusion_probe.reference.source import ReferenceSource

STEPS = (1, 5)
SHARD_SIZE = 4
COUNTS = {"train": 6, "calibration": 2}
SEEDS = {"train": 2, "calibration": 2}


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_only_a_lost_shard_is_made_again(world, tmp_path: Path) -> None:
    source = ReferenceSource.load(world.reference)
    collect(source, tmp_path, COUNTS, SEEDS, STEPS, batch_samples=32, shard_size=SHARD_SIZE)
    before = files(tmp_path)
    quality = read_split(tmp_path, "train").quality
    assert set(before) == {
        "dataset.json",
        "train-00000.safetensors",
        "train-00001.safetensors",
        "calibration-00000.safetensors",
    }
    (tmp_path / "train-00001.safetensors").unlink()
    collect(source, tmp_path, COUNTS, SEEDS, STEPS, batch_samples=32, shard_size=SHARD_SIZE)
    after = files(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"train-00001.safetensors"}
    assert read_split(tmp_path, "train").quality == pytest.approx(quality, abs=1e-6)


def test_each_process_makes_its_own_shards(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ["--train", "40", "--calibration", "2", "--test", "2", "--seeds", "1", "--test-seeds", "1", "--at", "1,5"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    made = []
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert main(["collect", "--data", str(tmp_path), *counts, "--batch", "32", "--no-compile", *world.source]) == 0
        made.append({path.stem for path in tmp_path.glob("*.safetensors")})
    assert made[0] == {"train-00001", "test-00000"}
    assert made[1] - made[0] == {"train-00000", "calibration-00000"}
    assert len(read_split(tmp_path, "train").prompts) == 40


def test_samples_are_grouped_by_prompt(world) -> None:
    collection = read_split(world.data, "test")
    assert len(collection.prompts) == 12
    assert collection.seeds == 8
    assert len(set(collection.prompts)) == 12
    ids = collection.arrays["token_ids"].reshape(12, 8, -1)
    assert (ids == ids[:, :1]).all()
    assert (collection.arrays["token_mask"] == (collection.arrays["token_ids"] != 0)).all()
    some = collection.take([3, 1])
    assert some.prompts == [collection.prompts[3], collection.prompts[1]]
    assert (some.quality == collection.quality[[3, 1]]).all()
    attention = np.asarray(collection.arrays["attention"])
    assert (np.asarray(some.arrays["attention"]) == np.concatenate([attention[24:32], attention[8:16]])).all()


def test_arrays_have_the_documented_shapes_and_dtypes(world) -> None:
    collection = read_split(world.data, "train")
    arrays = {name: np.asarray(array) for name, array in collection.arrays.items()}
    layers = len(collection.description.capture.layers)
    samples, tokens = arrays["token_mask"].shape
    assert arrays["attention"].shape == (samples, 5, layers, tokens, 8, 8)
    assert arrays["attention"].dtype == np.float16
    assert arrays["attention"].astype(np.float32).sum(axis=3).max() <= 1.01
    assert arrays["attention"].swapaxes(1, 3)[arrays["token_mask"] == 0].max() == 0
    assert arrays["preview"].shape == (samples, 5, 3, 64, 64)
    assert arrays["image"].dtype == np.uint8
    assert arrays["quality"].min() >= 0
    assert arrays["quality"].max() <= 1
    assert (arrays["subject_mask"] <= arrays["token_mask"]).all()
    assert arrays["subject_mask"].sum(axis=1).min() >= 1
    assert arrays["subject_mask"].sum(axis=1).max() <= 3


def test_splits_share_no_prompt(world) -> None:
    prompts = [set(read_split(world.data, split, ["quality"]).prompts) for split in ("train", "calibration", "test")]
    assert not prompts[0] & prompts[1]
    assert not prompts[0] & prompts[2]
    assert not prompts[1] & prompts[2]


def test_only_the_first_prompts_can_be_read(world) -> None:
    assert read_split(world.data, "train", prompts=5).prompts == read_split(world.data, "train").prompts[:5]


def test_a_folder_of_other_settings_is_refused(world) -> None:
    description = Description.read(world.data)
    with pytest.raises(ValueError, match="another points"):
        replace(description, points=description.points[:2]).write(world.data)
    description.write(world.data)
    conditions = {**description.conditions, "guidance": {"classifier_free": 9, "embedded": None}}
    with pytest.raises(ValueError, match=r"conditions\.guidance\.classifier_free \(now 9, before 3"):
        replace(description, conditions=conditions).write(world.data)


def test_a_data_set_without_conditions_must_be_collected_again(world, tmp_path: Path) -> None:
    fields = json.loads((world.data / "dataset.json").read_text())
    del fields["conditions"]
    (tmp_path / "dataset.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"version 0\.2 or before, without conditions: collect the samples again"):
        Description.read(tmp_path)


def test_some_layers_can_be_chosen(world) -> None:
    collection = read_split(world.data, "train", ["attention", "quality"])
    narrow = with_layers(collection, ["up.1", "down.0"])
    assert narrow.description.capture.layers == ("up.1", "down.0")
    assert narrow.description.capture.capture_id != collection.description.capture.capture_id
    index = collection.description.capture.layers.index("up.1")
    attention = [np.asarray(one.arrays["attention"]) for one in (narrow, collection)]
    assert (attention[0][:, :, 0] == attention[1][:, :, index]).all()
    with pytest.raises(ValueError, match="side\\.0"):
        with_layers(collection, ["side.0"])


def test_the_error_names_what_is_missing(world, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="diffusion-probe collect"):
        read_split(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="split 'other'"):
        read_split(world.data, "other")
    with pytest.raises(ValueError, match="step 7"):
        read_split(world.data, "test", ["quality"]).point_index(7)


def test_more_calibration_seeds_and_unlabelled_prompts(world, tmp_path: Path) -> None:
    counts = ["--train", "2", "--calibration", "3", "--test", "1", "--calibration-more", "2", "--unlabelled", "3"]
    shape = ["--seeds", "2", "--test-seeds", "3", "--at", "1,5,15", "--batch", "8", "--no-compile"]
    assert main(["collect", "--data", str(tmp_path), *counts, *shape, *world.source]) == 0
    calibration, more = read_split(tmp_path, "calibration"), read_split(tmp_path, "calibration_more")
    assert more.prompts == calibration.prompts[:2]
    assert more.sample_name(3).startswith("the sample of seed 3 of the calibration_more prompt")
    source = ReferenceSource.load(world.reference)
    expected = source.generate([more.prompts[0]] * 2, [2, 3], (1,)).quality
    assert more.quality[0] == pytest.approx(expected, abs=2e-2)
    unlabelled = read_split(tmp_path, "unlabelled")
    assert [point.step for point in unlabelled.description.points] == [1, 5]
    assert unlabelled.arrays["attention"].shape[:2] == (6, 2)
    assert np.isnan(unlabelled.quality).all()
    assert "image" not in unlabelled.arrays
    labelled = {prompt for split in ("train", "calibration", "test") for prompt in read_split(tmp_path, split).prompts}
    assert not labelled & set(unlabelled.prompts)


def test_unlabelled_prompts_are_observed_as_finished_ones_are(world) -> None:
    source = ReferenceSource.load(world.reference)
    prompts = source.prompts("train", 2)
    finished, observed = source.generate(prompts, [0, 0], (1, 5)), source.observe(prompts, [0, 0], (1, 5))
    for name in ("attention", "token_mask", "token_ids", "preview", "preview_quality", "guidance_difference"):
        assert np.array_equal(getattr(finished, name), getattr(observed, name)), name
    assert np.isnan(observed.quality).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unlabelled", "2", "--at", "15"], "unlabelled samples need a captured step up to 10, not only [15]"),
        (["--pipeline", "x", "--prompts", "p.txt", "--metric", "clip", "--unlabelled", "2"], "is for the reference world"),
    ],
)
def test_what_cannot_be_collected_is_refused(arguments: list[str], message: str, world, tmp_path: Path, capsys) -> None:
    assert main(["collect", "--data", str(tmp_path), *arguments, "--no-compile", *world.source]) == 2
    assert message in capsys.readouterr().err
