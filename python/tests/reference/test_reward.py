"""The reward's arithmetic: every mistake lowers the quality."""

import numpy as np
import pytest
import torch

from diffusion_probe.reference.backbone import pad_ids
from diffusion_probe.reference.captions import tokenize
from diffusion_probe.reference.corruption import paint_labelled
from diffusion_probe.reference.reward import Detections, Detector, Reward
from diffusion_probe.reference.scenes import Thing
from diffusion_probe.reference.validate_reward import validate_reward
from diffusion_probe.reference.vocabulary import BACKGROUNDS, PICTOGRAMS

CAT_LEFT, CAT_RIGHT = Thing("cat", 14, 32, 20), Thing("cat", 50, 32, 20)
KEY_LEFT, KEY_RIGHT, KEY_BELOW = Thing("key", 14, 32, 20), Thing("key", 48, 14, 20), Thing("key", 48, 50, 20)
OWL = Thing("owl", 32, 10, 16)
CAPTION = "a cat left of two keys on a blue background"


def perfect_detections(things: list[Thing], background: str, fidelity: float = 1.0) -> Detections:
    """The output of a perfect detector."""
    truth = paint_labelled([(thing, False) for thing in things], background, np.random.default_rng(0))
    logits = torch.full((1, len(BACKGROUNDS)), -20.0)
    logits[0, truth.background] = 20
    return Detections(torch.from_numpy(truth.density)[None], torch.full((1, 16, 16), fidelity), logits)


def quality(things: list[Thing], caption: str = CAPTION, background: str = "blue", fidelity: float = 1.0) -> float:
    ids = pad_ids([tokenize(caption)])
    return Reward().quality_terms(perfect_detections(things, background, fidelity), ids).quality().item()


RIGHT = quality([CAT_LEFT, KEY_RIGHT, KEY_BELOW])


def test_a_perfect_image_has_quality_one() -> None:
    assert pytest.approx(1, abs=0.01) == RIGHT


@pytest.mark.parametrize(
    ("wrong", "at_most"),
    [
        ([KEY_RIGHT, KEY_BELOW], 0.55),  # no cat
        ([CAT_LEFT, KEY_RIGHT], 0.8),  # one key
        ([CAT_LEFT, KEY_RIGHT, KEY_BELOW, OWL], 0.8),  # an owl too
        ([CAT_RIGHT, KEY_LEFT, Thing("key", 14, 52, 18)], 0.65),  # right of
        ([CAT_LEFT, OWL], 0.3),  # other things
        ([], 0.1),
    ],
)
def test_wrong_contents_lower_the_quality(wrong: list[Thing], at_most: float) -> None:
    assert quality(wrong) < at_most


def test_a_wrong_background_halves_the_quality() -> None:
    assert quality([CAT_LEFT, KEY_RIGHT, KEY_BELOW], background="pink") == pytest.approx(RIGHT / 2, abs=0.01)


def test_bad_drawing_lowers_the_quality() -> None:
    values = [quality([CAT_LEFT, KEY_RIGHT, KEY_BELOW], fidelity=fidelity) for fidelity in (1.0, 0.7, 0.4, 0.1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5


def test_above_is_not_left_of() -> None:
    above, below = Thing("cat", 32, 12, 18), Thing("key", 32, 52, 18)
    caption = "a cat above a key on a blue background"
    assert quality([above, below], caption) == pytest.approx(1, abs=0.01)
    assert quality([above, below], caption.replace("above", "left of")) < 0.65
    upside_down = [Thing("cat", 32, 52, 18), Thing("key", 32, 12, 18)]
    assert quality(upside_down, caption) < 0.65


def test_without_a_relation_positions_do_not_matter() -> None:
    caption = CAPTION.replace("left of", "and")
    assert quality([CAT_RIGHT, KEY_LEFT, Thing("key", 14, 52, 18)], caption) == pytest.approx(1, abs=0.01)


def test_padding_does_not_change_the_quality() -> None:
    detections = perfect_detections([CAT_LEFT, KEY_RIGHT], "blue")
    ids = tokenize(CAPTION)
    short, long = (Reward().quality_terms(detections, pad_ids([ids], length)).quality() for length in (len(ids), len(ids) + 3))
    assert torch.equal(short, long)


def test_every_pictogram_is_recognised_in_a_caption() -> None:
    for name in PICTOGRAMS:
        two = [Thing(name, 14, 32, 20), Thing(name, 48, 32, 20)]
        one_ids = f"{'an' if name[0] in 'aeiou' else 'a'} {name} on a grey background"
        assert quality(two[:1], one_ids, "grey") == pytest.approx(1, abs=0.01)


def test_validation_reports_every_kind_of_mistake() -> None:
    report = validate_reward(Reward(Detector(width=8)).eval(), scenes=12)
    assert set(report.lower_after) == {"removed", "added", "swapped", "smeared", "turned"}
    assert "clean held-out scenes detected exactly" in report.text()
