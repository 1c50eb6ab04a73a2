"""Labelled pictures tell the truth about themselves."""

import numpy as np
import pytest

from diffusion_probe.reference.corruption import SPOILERS, label, sample_labelled
from diffusion_probe.reference.language import BACKGROUNDS, PICTOGRAMS
from diffusion_probe.reference.scenes import Thing, sample_scene, sprite


def test_a_clean_scene_has_one_unit_of_mass_per_thing() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scene = sample_scene(rng)
        labelled = label([(thing, False) for thing in scene.things], scene.request.background, rng)
        counts = labelled.mass.sum(axis=(1, 2))
        for group in scene.request.groups:
            assert counts[PICTOGRAMS.index(group.pictogram)] == pytest.approx(group.count, abs=1e-4)
        assert counts.sum() == pytest.approx(scene.request.things, abs=1e-4)
        assert labelled.background == list(BACKGROUNDS).index(scene.request.background)
        assert labelled.drawn[labelled.drawn_weight > 0.05] == pytest.approx(1)
        assert (labelled.image == scene.image()).all()


def test_the_mass_lies_where_the_thing_is() -> None:
    labelled = label([(Thing("cat", 50, 14, 20), False)], "blue", np.random.default_rng(0))
    row, column = np.unravel_index(labelled.mass[PICTOGRAMS.index("cat")].argmax(), (16, 16))
    assert (row, column) == (3, 12)


@pytest.mark.parametrize("spoil", set(SPOILERS), ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("severity", [0.05, 0.5, 1.0])
def test_a_spoilt_sprite_is_still_a_sprite(spoil, severity: float) -> None:
    patch = sprite("owl", 21)
    before = patch.copy()
    spoilt = spoil(patch, severity, np.random.default_rng(1))
    assert spoilt.shape == patch.shape
    assert np.isfinite(spoilt).all()
    assert spoilt[..., 3].min() >= -1e-5
    assert spoilt[..., 3].max() <= 1 + 1e-5
    assert (patch == before).all(), "sprites are shared and must not change"
    if severity == 1.0:
        assert np.abs(spoilt - patch).mean() > 0.5


def test_what_is_spoilt_beyond_recognition_no_longer_counts() -> None:
    masses, drawn = [], []
    for seed in range(300):
        labelled = label([(Thing("cat", 32, 32, 24), True)], "blue", np.random.default_rng(seed))
        masses.append(labelled.mass.sum())
        drawn.append(labelled.drawn.max())
    order = np.argsort(drawn)
    assert np.asarray(masses)[order[:50]] == pytest.approx(0)
    assert np.asarray(masses)[order[-50:]] == pytest.approx(1, abs=1e-4)


def test_random_pictures_are_of_one_form() -> None:
    for seed in range(30):
        labelled = sample_labelled(np.random.default_rng(seed))
        assert labelled.image.shape == (64, 64, 3)
        assert labelled.mass.shape == (24, 16, 16)
        assert labelled.drawn.min() >= 0
        assert labelled.drawn.max() <= 1 + 1e-6
