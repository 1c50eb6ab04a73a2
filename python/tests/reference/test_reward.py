"""The reward's arithmetic: each thing that is wrong costs quality."""

import numpy as np
import pytest
import torch

from diffusion_probe.reference.backbone import pad_ids
from diffusion_probe.reference.corruption import label
from diffusion_probe.reference.language import BACKGROUNDS, PICTOGRAMS, tokenize
from diffusion_probe.reference.reward import Reader, Reading, Reward
from diffusion_probe.reference.scenes import Thing
from diffusion_probe.reference.train_reward import validate_reward

CAT_LEFT, CAT_RIGHT = Thing("cat", 14, 32, 20), Thing("cat", 50, 32, 20)
KEY_LEFT, KEY_RIGHT, KEY_BELOW = Thing("key", 14, 32, 20), Thing("key", 48, 14, 20), Thing("key", 48, 50, 20)
OWL = Thing("owl", 32, 10, 16)
CAPTION = "a cat left of two keys on a blue background"


def perfect_reading(things: list[Thing], background: str, drawn: float = 1.0) -> Reading:
    """What a reader without faults would read."""
    truth = label([(thing, False) for thing in things], background, np.random.default_rng(0))
    logits = torch.full((1, len(BACKGROUNDS)), -20.0)
    logits[0, truth.background] = 20
    return Reading(torch.from_numpy(truth.mass)[None], torch.full((1, 16, 16), drawn), logits)


def quality(things: list[Thing], caption: str = CAPTION, background: str = "blue", drawn: float = 1.0) -> float:
    ids = pad_ids([tokenize(caption)])
    return Reward().facets(perfect_reading(things, background, drawn), ids).quality().item()


RIGHT = quality([CAT_LEFT, KEY_RIGHT, KEY_BELOW])


def test_what_was_asked_for_is_worth_everything() -> None:
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
def test_wrong_contents_cost(wrong: list[Thing], at_most: float) -> None:
    assert quality(wrong) < at_most


def test_another_background_costs_half() -> None:
    assert quality([CAT_LEFT, KEY_RIGHT, KEY_BELOW], background="pink") == pytest.approx(RIGHT / 2, abs=0.01)


def test_bad_drawing_costs() -> None:
    values = [quality([CAT_LEFT, KEY_RIGHT, KEY_BELOW], drawn=drawn) for drawn in (1.0, 0.7, 0.4, 0.1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5


def test_above_is_not_left_of() -> None:
    above, below = Thing("cat", 32, 12, 18), Thing("key", 32, 52, 18)
    caption = "a cat above a key on a blue background"
    assert quality([above, below], caption) == pytest.approx(1, abs=0.01)
    assert quality([above, below], caption.replace("above", "left of")) < 0.65
    upside_down = [Thing("cat", 32, 52, 18), Thing("key", 32, 12, 18)]
    assert quality(upside_down, caption) < 0.65


def test_without_a_relation_the_place_does_not_matter() -> None:
    caption = CAPTION.replace("left of", "and")
    assert quality([CAT_RIGHT, KEY_LEFT, Thing("key", 14, 52, 18)], caption) == pytest.approx(1, abs=0.01)


def test_padding_changes_nothing() -> None:
    reading = perfect_reading([CAT_LEFT, KEY_RIGHT], "blue")
    ids = tokenize(CAPTION)
    short, long = (Reward().facets(reading, pad_ids([ids], length)).quality() for length in (len(ids), len(ids) + 3))
    assert torch.equal(short, long)


def test_every_pictogram_is_found_by_both_its_words() -> None:
    for name in PICTOGRAMS:
        two = [Thing(name, 14, 32, 20), Thing(name, 48, 32, 20)]
        one_ids = f"{'an' if name[0] in 'aeiou' else 'a'} {name} on a grey background"
        assert quality(two[:1], one_ids, "grey") == pytest.approx(1, abs=0.01)


def test_validation_reports_on_every_change() -> None:
    report = validate_reward(Reward(Reader(width=8)).eval(), scenes=12)
    assert set(report.lower_after) == {"removed", "added", "swapped", "smeared", "turned"}
    assert "clean held-out scenes read exactly" in report.text()
