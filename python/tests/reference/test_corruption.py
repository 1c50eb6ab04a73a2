"""The labels of an image match what was painted."""

import numpy as np
import pytest

from diffusion_probe.reference.corruption import CORRUPTIONS, paint_labelled, sample_labelled_image
from diffusion_probe.reference.scenes import Thing, lay_out, sprite
from diffusion_probe.reference.splits import sample_caption
from diffusion_probe.reference.vocabulary import BACKGROUNDS, PICTOGRAMS


def test_the_density_of_a_clean_scene_sums_to_its_counts() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scene = lay_out(sample_caption(rng), rng)
        labelled = paint_labelled([(thing, False) for thing in scene.things], scene.caption.background, rng)
        counts = labelled.density.sum(axis=(1, 2))
        for phrase in scene.caption.phrases:
            assert counts[PICTOGRAMS.index(phrase.pictogram)] == pytest.approx(phrase.count, abs=1e-4)
        assert counts.sum() == pytest.approx(scene.caption.things, abs=1e-4)
        assert labelled.background == list(BACKGROUNDS).index(scene.caption.background)
        assert labelled.fidelity[labelled.fidelity_weight > 0.05] == pytest.approx(1)
        assert (labelled.image == scene.image()).all()


def test_the_density_peaks_at_the_thing() -> None:
    labelled = paint_labelled([(Thing("cat", 50, 14, 20), False)], "blue", np.random.default_rng(0))
    row, column = np.unravel_index(labelled.density[PICTOGRAMS.index("cat")].argmax(), (16, 16))
    assert (row, column) == (3, 12)


@pytest.mark.parametrize("corrupt", set(CORRUPTIONS), ids=lambda corrupt: corrupt.__name__)
@pytest.mark.parametrize("severity", [0.05, 0.5, 1.0])
def test_a_corrupted_sprite_keeps_shape_and_alpha_range(corrupt, severity: float) -> None:
    patch = sprite("owl", 21)
    before = patch.copy()
    corrupted = corrupt(patch, severity, np.random.default_rng(1))
    assert corrupted.shape == patch.shape
    assert np.isfinite(corrupted).all()
    assert corrupted[..., 3].min() >= -1e-5
    assert corrupted[..., 3].max() <= 1 + 1e-5
    assert (patch == before).all(), "sprites are shared and must not change"
    if severity == 1.0:
        assert np.abs(corrupted - patch).mean() > 0.5


def test_a_thing_beyond_recognition_does_not_count() -> None:
    counts, fidelities = [], []
    for seed in range(300):
        labelled = paint_labelled([(Thing("cat", 32, 32, 24), True)], "blue", np.random.default_rng(seed))
        counts.append(labelled.density.sum())
        fidelities.append(labelled.fidelity.max())
    order = np.argsort(fidelities)
    assert np.asarray(counts)[order[:50]] == pytest.approx(0)
    assert np.asarray(counts)[order[-50:]] == pytest.approx(1, abs=1e-4)


def test_random_labelled_images_have_fixed_shapes_and_ranges() -> None:
    for seed in range(30):
        labelled = sample_labelled_image(np.random.default_rng(seed))
        assert labelled.image.shape == (64, 64, 3)
        assert labelled.density.shape == (24, 16, 16)
        assert labelled.fidelity.min() >= 0
        assert labelled.fidelity.max() <= 1 + 1e-6
