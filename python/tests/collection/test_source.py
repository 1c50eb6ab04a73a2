"""A pipeline as a source: its samples are what the pipeline generated and the capture recorded."""

import numpy as np
import pytest

from diffusion_probe.capture import AttentionCapture, CaptureError
from diffusion_probe.data.collect import collect
from diffusion_probe.data.cost import cost_text, measure_cost
from diffusion_probe.data.dataset import Description
from diffusion_probe.data.shards import read_split
from diffusion_probe.pipelines.arguments import noise_generator
from diffusion_probe.tiny import TINY, TinyBackbone

STEPS = (1, 2)
PROMPTS = ["a cat", "a cat", "a red dog on the banana"]
SEEDS = [0, 1, 0]


@pytest.mark.parametrize("name", list(TINY))
def test_samples_are_what_the_pipeline_generated_and_the_capture_recorded(name: str, make_source) -> None:
    source = make_source(name, batch=2)
    samples = source.generate(PROMPTS, SEEDS, STEPS)
    tokens = int(samples.token_mask[2].sum())
    assert samples.attention.shape == (3, 2, len(source.capture.layers), samples.token_mask.shape[1], 16, 16)
    assert samples.token_mask[0].sum() < tokens <= samples.token_mask.shape[1]
    assert samples.attention[0, :, :, samples.token_mask[0] == 0].max(initial=0) == 0
    assert samples.attention.astype(np.float32).sum(axis=3).max() <= 1.01
    assert np.isfinite(samples.quality).all()
    assert samples.quality[0] != samples.quality[1]
    assert (samples.preview, samples.guidance_difference, samples.token_ids, samples.subject_mask) == (None,) * 4

    backbone = TinyBackbone(name)
    capture = AttentionCapture(backbone.pipe, None, STEPS)
    changes = {"images": 1, "num_inference_steps": 2, "generator": [noise_generator(PROMPTS[2], 0)], "output_type": "pil"}
    alone = capture(**backbone.arguments([PROMPTS[2]], **changes))
    seen = np.stack([alone.steps[step].attention for step in STEPS], axis=1)[0]
    assert np.abs(samples.attention[2, :, :, :tokens].astype(np.float32) - seen[:, :, :tokens]).max() < 2e-3
    assert [point.timestep for point in source.points(STEPS)] == pytest.approx([alone.steps[s].timestep for s in STEPS], abs=1e-3)
    assert source.capture == alone.settings


def test_the_noise_depends_only_on_prompt_and_seed(make_source) -> None:
    source = make_source("sd15")
    together = source.generate(PROMPTS, SEEDS, STEPS).quality
    apart = [source.generate([prompt], [seed], STEPS).quality[0] for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    assert together == pytest.approx(apart, abs=2e-3)


def test_shards_of_different_lengths_are_one_collection(make_source, tmp_path) -> None:
    source = make_source("sd15")
    collect(source, tmp_path, {"train": 4, "test": 2}, {"train": 2, "test": 2}, STEPS, 4, shard_size=1)
    collection = read_split(tmp_path, "train")
    assert collection.prompts == source.prompts("train", 4)
    assert set(collection.arrays) == {"attention", "token_mask", "quality"}
    assert collection.arrays["attention"].shape[3] == collection.arrays["token_mask"].shape[1]
    lengths = collection.arrays["token_mask"].reshape(4, 2, -1).sum(axis=2)
    assert len(set(lengths[:, 0].tolist())) > 1
    assert (lengths[:, 0] == lengths[:, 1]).all()
    assert Description.read(tmp_path).metric.range is None


def test_the_cost_of_one_image_is_measured_and_printed(make_source) -> None:
    source = make_source("sd15")
    cost = measure_cost(source, ["a cat", "a red dog on the banana"], STEPS)
    layers = len(source.capture.layers)
    tokens = 7  # six words and the end of text
    assert cost.bytes == 2 * layers * tokens * 256 * 2 + tokens + 4
    assert cost.seconds > 0
    assert "1000 images to make" in cost_text(cost, 1000, 1)
    assert "on 4" in cost_text(cost, 1000, 4)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"steps": (3,)}, ValueError, "expected steps from 1 to 2"),
        ({"call": {"generator": 1}}, ValueError, "generator of the pipeline is set by the collection"),
        ({"layers": ["nothing"]}, CaptureError, "no layer 'nothing'"),
    ],
    ids=["steps", "argument", "layer"],
)
def test_invalid_settings_are_refused(changes, error, message: str, make_source) -> None:
    with pytest.raises(error, match=message):
        make_source("sd15", **changes)
