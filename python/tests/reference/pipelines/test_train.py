"""Training a pipeline: interrupted and resumed, and the way of its pipeline through the public commands."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from diffusion_probe.capture import AttentionCapture, AttentionObserver
from diffusion_probe.cli import main
from diffusion_probe.collection.subjects import subject_mask
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import read_split
from diffusion_probe.families import family_of
from diffusion_probe.families.tokens import prompt_tokens
from diffusion_probe.local import LocalProbe
from diffusion_probe.pipelines.arguments import image_per_prompt
from diffusion_probe.reference.metric import rewards, subjects, things
from diffusion_probe.reference.pipelines import RECIPES
from diffusion_probe.reference.pipelines.quality import draw
from diffusion_probe.reference.pipelines.train import train_pipeline, training_batch
from diffusion_probe.reference.scenes import SIZE

from .conftest import SHIPPED, TINY, TRAINING, Trained

TOTAL_STEPS = 3
METRIC = "diffusion_probe.reference.metric:reward"
PLAIN = "a cat left of two keys on a blue background"
TOLD = "the background is blue. there is a cat and two keys. the cat is left of the keys."


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def collect(trained: Trained, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Collect a few captions and two images of each, by the commands."""
    sentences = str(trained.recipe.sentences)
    capsys.readouterr()
    assert main(["reference", "captions", "--count", "60", "--split", "train", "--sentences", sentences]) == 0
    (folder / "captions.txt").write_text(capsys.readouterr().out)
    few = ["--train", "10", "--calibration", "1", "--test", "1", "--seeds", "2", "--test-seeds", "2"]
    steps = ["--steps", str(TOTAL_STEPS), "--at", "1,2", "--call", json.dumps(dict(trained.recipe.call))]
    files = ["--pipeline", str(trained.saved), "--prompts", str(folder / "captions.txt"), "--out", str(folder / "data")]
    assert main(["collect", *files, "--metric", METRIC, *few, *steps]) == 0


def test_an_interrupted_training_ends_with_the_same_weights(trained: Trained, reward, tmp_path: Path) -> None:
    shutil.copy(trained.folder / "autoencoder.pt", tmp_path / "autoencoder.pt")
    shutil.copy(trained.folder / "checkpoint-2.pt", tmp_path / "checkpoint.pt")
    resumed = train_pipeline(trained.recipe, tmp_path, TRAINING, reward, TINY)
    for name in trained.recipe.trained:
        assert same(getattr(resumed, name), getattr(trained.pipe, name))
    half = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert half["step"] == 4
    assert [path.name for path in sorted((tmp_path / "sheets").iterdir())] == ["000004.png"]


def test_a_checkpoint_of_other_sizes_is_refused(trained: Trained, reward) -> None:
    with pytest.raises(ValueError, match=r"is of another training: .*blocks \(now 2, before 1\)"):
        train_pipeline(trained.recipe, trained.folder, TRAINING, reward, replace(TINY, blocks=2))


def test_every_trained_component_learns(trained: Trained) -> None:
    torch.manual_seed(TRAINING.seed)
    start = trained.recipe.build(TINY)
    for name in trained.recipe.trained:
        assert not same(getattr(start, name), getattr(trained.pipe, name))


def test_captions_are_hidden_from_some_images_and_the_loss_depends_on_them(trained: Trained) -> None:
    batch = training_batch(trained.recipe, trained.pipe.vae, 0, 0, 40)
    assert 0 < int(batch.dropped.sum()) < 12
    assert any("." in caption for caption in batch.captions) == (trained.recipe.sentences > 0)
    pipe = trained.recipe.build(TINY)
    for parameter in trained.recipe.trained_parts(pipe).parameters():  # text counts for nothing while the gates are zero
        torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        shown, hidden = (trained.recipe.loss(pipe, replace(batch, dropped=torch.full((40,), none))) for none in (False, True))
        others = replace(batch, captions=batch.captions[::-1], dropped=torch.full((40,), True))
        assert shown != hidden
        assert trained.recipe.loss(pipe, others) == hidden


def test_the_saved_pipeline_draws_what_the_trained_one_draws(trained: Trained) -> None:
    loaded = DiffusionPipeline.from_pretrained(trained.saved, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is type(trained.pipe)
    files = list(trained.saved.rglob("*.safetensors"))
    weights = sum(
        parameter.numel()
        for part in loaded.components.values()
        if isinstance(part, torch.nn.Module)
        for parameter in part.parameters()
    )
    assert sum(path.stat().st_size for path in files) < 2 * weights + 100_000
    one, other = (
        np.asarray(draw(pipe, trained.recipe.call, [PLAIN], [0], shown=False)[0], int) for pipe in (loaded, trained.pipe)
    )
    assert np.abs(one - other).max() <= 4
    assert one.shape == (SIZE, SIZE, 3)


def test_collect_stores_attention_and_rewards_and_a_probe_trains_on_them(
    trained: Trained, reward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(SHIPPED.parent)
    collect(trained, tmp_path, capsys)
    collection = read_split(tmp_path / "data", "train")
    attention = np.asarray(collection.arrays["attention"][:], np.float32)
    assert attention.shape[:2] == (10 * 2, 2)
    assert attention.min() >= 0
    assert 0.01 < attention.sum(axis=3).max() <= 1.01
    assert Description.read(tmp_path / "data").metric.name == METRIC

    loaded = DiffusionPipeline.from_pretrained(trained.saved, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    prompt = collection.prompts[0]
    run = AttentionCapture(loaded, None, [2])(**image_per_prompt(trained.recipe.call, [prompt], [1], TOTAL_STEPS))
    assert collection.quality[0, 1] == pytest.approx(rewards(reward, run.output.images, [prompt])[0], abs=0.01)

    files = ["--data", str(tmp_path / "data"), "--checkpoint", str(tmp_path / "probe.pt")]
    assert main(["train", *files, "--training-steps", "2", "--width", "8"]) == 0
    assert main(["export", *files, "--folder", str(tmp_path / "probe" / "1"), "--name", "probe"]) == 0
    step = run.steps[2]
    scores = LocalProbe(tmp_path / "probe" / "1").score(step.attention, step.timestep, token_mask=step.token_mask)
    assert scores.shape == (1,)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("text", [PLAIN, TOLD])
def test_the_capture_finds_the_words_of_a_caption(trained: Trained, text: str) -> None:
    if text == TOLD and not trained.recipe.sentences:
        pytest.skip("this pipeline is trained with plain captions alone")
    words = len(text.replace(".", " .").split())
    run = AttentionCapture(trained.pipe, None, [1])(
        prompt=[text], num_inference_steps=2, generator=torch.Generator().manual_seed(0), **trained.recipe.call
    )
    assert run.steps[1].token_mask.sum() == words + 1  # and what ends the text
    assert run.settings.height >= 8


@pytest.mark.parametrize("text", [PLAIN, TOLD])
def test_the_subjects_of_a_caption_are_the_tokens_of_its_things(trained: Trained, text: str) -> None:
    words = text.replace(".", " .").split()
    arguments = image_per_prompt(trained.recipe.call, [text], [0], TOTAL_STEPS)
    mask = subject_mask(trained.pipe, arguments, subjects, len(words) + 1)
    assert [words[index] for index in mask[0].nonzero()[0]] == [word for word in words if word in ("cat", "keys")]


def test_an_observer_of_a_loop_reads_the_same_maps(trained: Trained) -> None:
    if trained.recipe.name == "qwen":
        pytest.skip("an observer needs a loop that calls the transformer for the prompt alone: tests/capture/test_observer.py")
    pipe, call = trained.pipe, {"max_sequence_length": None, **trained.recipe.call, "prompt": [PLAIN]}
    arguments = {**trained.recipe.call, "prompt": [PLAIN], "num_inference_steps": 3}
    arguments |= {"true_cfg_scale": 1.0} if "true_cfg_scale" in arguments else {}
    run = AttentionCapture(pipe, ["*"], [2], grid=(8, 8))(**arguments, generator=torch.Generator().manual_seed(0))
    mask = prompt_tokens(pipe, call, family_of(pipe).tokens)[0]
    manifest = {
        "name": "own",
        "version": 1,
        "capture": {"layers": list(run.settings.layers), "height": 8, "width": 8, "heads": "mean", "pooling": "area"},
        "capture_id": "0123456789abcdef",
        "decision_points": [{"step": 2, "timestep": 0.0, "tolerance": 2.0}],
    }
    where = {"rows": "last half"} if trained.recipe.name == "sdxl" else {"text_block": (0, len(mask))}
    observer = AttentionObserver(manifest, np.flatnonzero(mask).tolist(), (8, 8), **where)
    taken = []

    def after_step(_: object, index: int, __: object, kwargs: dict) -> dict:
        taken.extend([observer.take()] if observer.due(index + 1) else [])
        return kwargs

    with observer.watch(getattr(pipe, trained.recipe.trained[0])):
        pipe(**arguments, generator=torch.Generator().manual_seed(0), callback_on_step_end=after_step)
    assert np.array_equal(taken[0].attention, run.steps[2].attention)


@pytest.mark.usefixtures("tiny_recipes")
def test_the_command_trains_for_some_minutes_and_resumes_with_the_same_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--minutes", "0.01", "--autoencoder-steps", "1", "--captions", "1", "--seeds", "2", "--folder", str(tmp_path)]
    command = ["reference", "train-pipeline", "flux", *short, "--reference", str(SHIPPED)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("mean quality of painted scenes ")
    assert "\n1 held-out captions, 2 images each: mean quality 0." in printed
    steps = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["settings"]["steps"]
    sheets = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "sheets").iterdir()}
    assert f"{steps:06d}.png" in sheets
    with Image.open(tmp_path / "sheets" / f"{steps:06d}.png") as sheet:
        assert sheet.width > 8 * SIZE
    quality = json.loads((tmp_path / "quality.json").read_text())
    assert (quality["captions"], quality["seeds"]) == (1, 2)
    assert quality["scenes"] > 0.8 > quality["decoded"]
    assert (tmp_path / "pipeline" / "model_index.json").exists()
    assert main(command) == 0
    assert sheets == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "sheets").iterdir()}
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["settings"]["steps"] == steps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flux", "--seeds", "1"], "needs at least 2 images of each"),
        (["flux", "--reference", "nowhere"], "no reference.json in nowhere"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", "train-pipeline", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_rewards_of_both_texts_of_a_caption_are_equal(reward, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("RGB", (2 * SIZE, 2 * SIZE), (122, 172, 235))
    one, other = rewards(reward, [image, image.resize((SIZE, SIZE))], [PLAIN, TOLD])
    assert one == pytest.approx(other, abs=1e-3)
    monkeypatch.chdir(SHIPPED.parent)
    one, other = things([image, image], [PLAIN, TOLD])
    assert one == pytest.approx(other, abs=1e-3)
    assert 0 <= one < 0.5  # an empty background has no things
    assert set(RECIPES) == {"sdxl", "flux", "qwen"}
