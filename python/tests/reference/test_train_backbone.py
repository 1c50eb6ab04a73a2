"""Fine-tuning the backbone from exported weights, with captions in other wordings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from diffusion_probe.cli import main
from diffusion_probe.reference.backbone import Backbone, BackboneConfig, pad_ids, text_mask_of, with_whole_vocabulary
from diffusion_probe.reference.captions import parse, tokenize
from diffusion_probe.reference.onnx_import import load_onnx_backbone
from diffusion_probe.reference.rectified_flow import training_pair
from diffusion_probe.reference.train_backbone import load_backbone, train_backbone, training_batch
from diffusion_probe.reference.vocabulary import BEGIN_ID, PAD_ID, PARAPHRASE_WORDS, TOKEN_IDS, VOCABULARY

SHIPPED = Path(__file__).parents[3] / "reference"
# As many words as before the paraphrases.
OLD = BackboneConfig(
    grid_width=16,
    core_width=16,
    core_blocks=1,
    text_width=16,
    text_layers=1,
    heads=2,
    vocabulary=len(VOCABULARY) - len(PARAPHRASE_WORDS),
)


@pytest.fixture
def old() -> Backbone:
    torch.manual_seed(0)
    return Backbone(OLD).eval()


@torch.no_grad()
def loss_of(backbone: Backbone, paraphrase: float) -> float:
    images, ids = training_batch(3, 0, 16, backbone.config.image_size, paraphrase)
    latents, timestep, velocity = training_pair(images, torch.Generator().manual_seed(0))
    return float(F.mse_loss(backbone(latents, timestep, ids), velocity))


def texts_of(ids: torch.Tensor) -> list[str]:
    return [" ".join(VOCABULARY[word] for word in row if word not in (PAD_ID, BEGIN_ID)) for row in ids.tolist()]


def same(one: Backbone, other: Backbone) -> bool:
    return all(torch.equal(one.state_dict()[name], value) for name, value in other.state_dict().items())


def test_the_loss_of_fine_tuning_starts_far_below_that_of_a_new_model(tmp_path: Path) -> None:
    start = load_onnx_backbone(SHIPPED)
    tuned = train_backbone(tmp_path / "tuned.pt", steps=1, compiled=False, batch=2, start=start, paraphrase=0.5)
    assert tuned.config.vocabulary == len(VOCABULARY)
    new = loss_of(Backbone(tuned.config).eval(), 1.0)
    assert loss_of(tuned, 0.0) < 0.5 * new
    assert loss_of(tuned, 1.0) < 0.5 * new


def test_new_words_start_from_known_ones_and_the_rest_stays(old: Backbone) -> None:
    grown = with_whole_vocabulary(old)
    words = grown.text_encoder.words.weight
    assert len(words) == len(VOCABULARY)
    for word, known in PARAPHRASE_WORDS.items():
        assert torch.equal(words[TOKEN_IDS[word]], words[TOKEN_IDS[known]])
    ids = pad_ids([tokenize("a cat left of two keys on a blue background")])
    with torch.no_grad():
        assert torch.equal(grown.text_encoder(ids, text_mask_of(ids)), old.text_encoder(ids, text_mask_of(ids)))
    assert same(with_whole_vocabulary(grown), grown)


def test_paraphrases_change_the_text_but_neither_its_meaning_nor_the_images() -> None:
    images, plain = training_batch(0, 7, 160, 64)
    same_images, drawn = training_batch(0, 7, 160, 64, paraphrase=0.5)
    assert torch.equal(images, same_images)
    pairs = [pair for pair in zip(texts_of(plain), texts_of(drawn), strict=True) if pair[0]]
    assert 0.3 < sum(one != other for one, other in pairs) / len(pairs) < 0.7
    assert all(parse(one).key() == parse(other).key() for one, other in pairs)
    words = {word for _, other in pairs for word in other.split()}
    assert words >= set(PARAPHRASE_WORDS)


def test_an_interrupted_fine_tuning_ends_with_the_same_weights(old: Backbone, tmp_path: Path) -> None:
    settings = {"compiled": False, "batch": 4, "start": old, "paraphrase": 0.5, "milestones": (2,)}
    whole = train_backbone(tmp_path / "whole.pt", steps=4, **settings)
    (tmp_path / "whole-2.pt").rename(tmp_path / "half.pt")
    resumed = train_backbone(tmp_path / "half.pt", steps=4, **settings)
    assert same(resumed, whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--paraphrase", "0.25"], "paraphrase (now 0.25, before 0.5)"),
        (["--paraphrase", "0.5", "--learning-rate", "0.001"], "learning_rate (now 0.001, before 0.0002)"),
    ],
)
def test_the_command_fine_tunes_and_refuses_a_checkpoint_of_other_settings(
    arguments: list[str], message: str, world, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "tuned.pt"
    command = ["reference", "train-backbone", "--start-from", str(world.reference), "--backbone", str(checkpoint)]
    command += ["--training-steps", "1", "--no-compile", "--learning-rate", "2e-4"]
    assert main([*command, "--paraphrase", "0.5"]) == 0
    assert load_backbone(checkpoint).config.vocabulary == len(VOCABULARY)
    assert main([*command, *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("share", ["1.5", "-0.1", "half", "nan"])
def test_a_share_outside_0_to_1_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reference", "train-backbone", f"--paraphrase={share}"])
    assert f"expected a share from 0 to 1, not '{share}'" in capsys.readouterr().err
