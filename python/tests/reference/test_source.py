"""The reference world draws and judges captions in every wording that its backbone knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.reference.backbone import Backbone, pad_ids
from diffusion_probe.reference.captions import Caption, Phrase, Wording, paraphrase, tokenize
from diffusion_probe.reference.onnx_import import load_onnx_backbone
from diffusion_probe.reference.source import ReferenceSource
from diffusion_probe.reference.splits import data_captions
from diffusion_probe.reference.vocabulary import VOCABULARY

CAPTION = Caption((Phrase("cat", 1), Phrase("key", 2), Phrase("owl", 1)), "left", "grey")


def test_the_quality_of_a_paraphrase_is_judged_by_its_meaning(world) -> None:
    source = ReferenceSource.load(world.reference)
    text = CAPTION.text(Wording(background_first=True, mirrored=True))
    samples = source.generate([text], [0], (5,))
    plain = pad_ids([tokenize(CAPTION.text())])
    image = torch.from_numpy(samples.image).float() / 127.5 - 1
    with torch.no_grad():
        expected = source.reward(image, plain)
    assert samples.quality == pytest.approx(expected.numpy(), abs=2e-2)
    assert samples.token_ids[0].tolist() == tokenize(text)[1:]
    assert samples.subject_mask[0].sum() == 3


def test_a_backbone_without_the_words_of_paraphrases_says_so(world) -> None:
    loaded = ReferenceSource.load(world.reference)
    old = Backbone(replace(loaded.backbone.config, vocabulary=len(VOCABULARY) - 3))
    with pytest.raises(ValueError, match="does not know the word 'the'"):
        ReferenceSource(old, loaded.reward).generate(["the cat on a blue background"], [0], (1,))


def test_prompts_may_be_paraphrased(world) -> None:
    source = ReferenceSource.load(world.reference, paraphrased=1.0)
    captions = data_captions("train", 20)
    assert source.prompts("train", 20) == [paraphrase(caption) for caption in captions]
    plain = [caption.text() for caption in captions]
    assert ReferenceSource.load(world.reference).prompts("train", 20) == plain
    half = ReferenceSource.load(world.reference, paraphrased=0.5).prompts("train", 20)
    assert 0 < sum(one != other for one, other in zip(half, plain, strict=True)) < 20
    assert all(text in (own, paraphrase(caption)) for text, own, caption in zip(half, plain, captions, strict=True))


def test_the_side_of_the_maps_is_set_at_the_export_and_kept(world, tmp_path: Path) -> None:
    weights = ["--backbone", str(world.backbone), "--reward", str(world.reward)]
    assert main(["reference", "export", "--out", str(tmp_path), *weights, "--grid", "16"]) == 0
    assert ReferenceSource.load(tmp_path).capture.height == 16
    assert main(["reference", "export", "--out", str(tmp_path), *weights]) == 0
    exported = ReferenceSource.load(tmp_path)
    assert (exported.capture.height, exported.capture.width) == (16, 16)
    assert load_onnx_backbone(tmp_path).config == exported.backbone.config
