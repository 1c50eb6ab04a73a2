"""The text encoder learns paraphrases, and the quality of a paraphrase is judged by its meaning."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion_probe.cli import main
from diffusion_probe.reference.backbone import Backbone, BackboneConfig, pad_ids, text_mask_of
from diffusion_probe.reference.captions import PLAIN, Caption, Phrase, Wording, paraphrase, tokenize
from diffusion_probe.reference.onnx_import import load_onnx_backbone
from diffusion_probe.reference.source import ReferenceSource
from diffusion_probe.reference.splits import data_captions
from diffusion_probe.reference.train_wordings import (
    plain_places,
    state_error,
    train_wordings,
    what_is_read,
    with_paraphrase_words,
    wording_errors,
)
from diffusion_probe.reference.vocabulary import TOKEN_IDS, VOCABULARY

# As many words as before the paraphrases.
OLD = BackboneConfig(
    grid_width=16, core_width=16, core_blocks=1, text_width=16, text_layers=1, heads=2, vocabulary=len(VOCABULARY) - 3
)
CAPTION = Caption((Phrase("cat", 1), Phrase("key", 2), Phrase("owl", 1)), "left", "grey")


@pytest.fixture
def old() -> Backbone:
    torch.manual_seed(0)
    model = Backbone(OLD).eval()
    for parameter in model.text_encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_a_word_of_a_paraphrase_stands_for_the_word_in_its_place() -> None:
    wording = Wording(background_first=True, mirrored=True, definite=True)
    plain, other = ["<begin>", *CAPTION.text().split()], ["<begin>", *CAPTION.text(wording).split()]
    pairs = {other[index]: plain[place] for index, place in enumerate(plain_places(CAPTION, wording))}
    assert pairs["right"] == "left"
    assert (pairs["cat"], pairs["keys"], pairs["owl"], pairs["grey"]) == ("cat", "keys", "owl", "grey")
    assert sorted(plain_places(CAPTION, wording)) == list(range(len(plain)))
    assert plain_places(CAPTION, PLAIN) == list(range(len(plain)))


def test_new_words_start_from_known_ones_and_the_rest_stays(old: Backbone) -> None:
    grown = with_paraphrase_words(old)
    words = grown.text_encoder.words.weight
    assert words.shape[0] == len(VOCABULARY)
    assert torch.equal(words[TOKEN_IDS["right"]], words[TOKEN_IDS["left"]])
    ids = pad_ids([tokenize(CAPTION.text())])
    with torch.no_grad():
        assert torch.equal(grown.text_encoder(ids, text_mask_of(ids)), old.text_encoder(ids, text_mask_of(ids)))


def test_the_error_of_paraphrases_falls_and_that_of_plain_wordings_stays_small(old: Backbone, tmp_path: Path) -> None:
    judged = data_captions("train", 16)
    reading = what_is_read(old.denoiser)
    before = wording_errors(with_paraphrase_words(old).text_encoder, old.text_encoder, reading, judged)
    trained = train_wordings(tmp_path / "wordings.pt", old, steps=300, batch=16)
    after = wording_errors(trained.text_encoder, old.text_encoder, reading, judged)
    assert before["plain"] == 0
    assert after["plain"] < 0.5 * before["all"]
    assert after["all"] < 0.8 * before["all"]
    for name, value in old.denoiser.state_dict().items():
        assert torch.equal(trained.denoiser.state_dict()[name], value), name


def test_a_resumed_training_of_wordings_equals_an_uninterrupted_one(old: Backbone, tmp_path: Path) -> None:
    whole = train_wordings(tmp_path / "whole.pt", old, steps=4, batch=4)
    assert (tmp_path / "whole.log.jsonl").exists()
    again = train_wordings(tmp_path / "whole.pt", old, steps=4, batch=4)
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in again.state_dict().items())


def test_empty_captions_are_compared_with_empty_captions(old: Backbone) -> None:
    grown = with_paraphrase_words(old).text_encoder
    everything_empty = np.ones(1, bool)
    assert (
        float(
            state_error(
                grown, old.text_encoder, what_is_read(old.denoiser), [CAPTION], [Wording(definite=True)], everything_empty
            )
        )
        == 0
    )


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


def test_a_backbone_without_the_words_of_paraphrases_says_so(world, old: Backbone) -> None:
    source = ReferenceSource(old, ReferenceSource.load(world.reference).reward)
    with pytest.raises(ValueError, match="does not know the word 'the'"):
        source.generate(["the cat on a blue background"], [0], (1,))


def test_the_commands_train_export_and_judge(world, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, folder = tmp_path / "wordings.pt", tmp_path / "reference"
    start = ["--start-from", str(world.reference)]
    assert main(["reference", "train-wordings", *start, "--backbone", str(checkpoint), "--training-steps", "2"]) == 0
    weights = ["--backbone", str(checkpoint), "--reward", str(world.reward)]
    assert main(["reference", "export", "--out", str(folder), *weights, "--grid", "16"]) == 0
    exported = ReferenceSource.load(folder)
    assert (exported.capture.height, exported.backbone.config.vocabulary) == (16, len(VOCABULARY))
    assert load_onnx_backbone(folder).config == exported.backbone.config
    judged = ["--reference", str(world.reference), "--backbone", str(checkpoint), "--count", "2", "--seeds", "2"]
    assert main(["reference", "judge-wordings", *judged, "--no-compile"]) == 0
    assert "paraphrases - after: mean" in capsys.readouterr().out


def test_prompts_may_be_paraphrased(world) -> None:
    source = ReferenceSource.load(world.reference, paraphrased=True)
    captions = data_captions("train", 20)
    assert source.prompts("train", 20) == [paraphrase(caption) for caption in captions]
    assert ReferenceSource.load(world.reference).prompts("train", 20) == [caption.text() for caption in captions]
