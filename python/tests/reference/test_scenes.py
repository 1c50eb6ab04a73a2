"""Scenes match their captions."""

import numpy as np
import pytest

from diffusion_probe.reference.scenes import CLEARANCE, RELATION_MARGIN, SIZE, Scene, lay_out, sprite
from diffusion_probe.reference.splits import THINGS_WEIGHTS, sample_caption
from diffusion_probe.reference.vocabulary import BACKGROUNDS, PICTOGRAMS


def sample_scene(*seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    return lay_out(sample_caption(rng), rng)


SCENES = [sample_scene(5, index) for index in range(400)]


def test_counts_match_the_caption() -> None:
    for scene in SCENES:
        drawn = [thing.pictogram for thing in scene.things]
        assert len(drawn) == scene.caption.things
        assert all(drawn.count(phrase.pictogram) == phrase.count for phrase in scene.caption.phrases)


def test_things_lie_inside_the_image_and_apart() -> None:
    for scene in SCENES:
        for index, one in enumerate(scene.things):
            assert one.x - one.size / 2 >= -1
            assert one.x + one.size / 2 <= SIZE + 1
            for other in scene.things[:index]:
                apart = max(abs(one.x - other.x), abs(one.y - other.y))
                assert apart >= CLEARANCE * (one.size + other.size) / 2 - 1  # centres are rounded


def test_relations_hold() -> None:
    related = [scene for scene in SCENES if scene.caption.relation]
    assert len(related) > 100
    for scene in related:
        first, second = (
            [thing for thing in scene.things if thing.pictogram == phrase.pictogram] for phrase in scene.caption.phrases[:2]
        )
        axis = "x" if scene.caption.relation == "left" else "y"
        farthest = max(getattr(thing, axis) for thing in first)
        assert farthest + RELATION_MARGIN <= min(getattr(thing, axis) for thing in second) + 1


def test_the_frequencies_of_captions_are_the_frozen_ones() -> None:
    shares = np.bincount([scene.caption.things for scene in SCENES], minlength=5)[1:] / len(SCENES)
    assert shares == pytest.approx(list(THINGS_WEIGHTS.values()), abs=0.08)


def test_the_background_is_visible_in_a_corner() -> None:
    for scene in SCENES[:50]:
        image = scene.image()
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()
        assert list(BACKGROUNDS[scene.caption.background]) in corners


def test_a_seed_determines_the_scene() -> None:
    one, two = (sample_scene(3) for _ in range(2))
    assert one == two
    assert (one.image() == two.image()).all()


def test_every_pictogram_has_a_sprite_of_its_own() -> None:
    sprites = [sprite(name, 20) for name in PICTOGRAMS]
    for index, patch in enumerate(sprites):
        assert patch.shape == (20, 20, 4)
        assert 0.2 < patch[..., 3].mean() < 1
        assert all(np.abs(patch - other).mean() > 1 for other in sprites[:index])
