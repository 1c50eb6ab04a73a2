"""Scenes show what their captions ask for."""

import numpy as np
import pytest

from diffusion_probe.reference.language import BACKGROUNDS, PICTOGRAMS
from diffusion_probe.reference.scenes import CLEARANCE, RELATION_MARGIN, SIZE, THINGS_WEIGHTS, sample_scene, sprite

SCENES = [sample_scene(np.random.default_rng([5, index])) for index in range(400)]


def test_counts_are_as_asked() -> None:
    for scene in SCENES:
        drawn = [thing.pictogram for thing in scene.things]
        assert len(drawn) == scene.request.things
        assert all(drawn.count(group.pictogram) == group.count for group in scene.request.groups)


def test_things_lie_inside_and_keep_apart() -> None:
    for scene in SCENES:
        for index, one in enumerate(scene.things):
            assert one.x - one.size / 2 >= -1
            assert one.x + one.size / 2 <= SIZE + 1
            for other in scene.things[:index]:
                apart = max(abs(one.x - other.x), abs(one.y - other.y))
                assert apart >= CLEARANCE * (one.size + other.size) / 2 - 1  # centres are rounded


def test_relations_hold() -> None:
    related = [scene for scene in SCENES if scene.request.relation]
    assert len(related) > 100
    for scene in related:
        first, second = (
            [thing for thing in scene.things if thing.pictogram == group.pictogram] for group in scene.request.groups[:2]
        )
        axis = "x" if scene.request.relation == "left" else "y"
        farthest = max(getattr(thing, axis) for thing in first)
        assert farthest + RELATION_MARGIN <= min(getattr(thing, axis) for thing in second) + 1


def test_the_mix_of_captions_is_the_frozen_one() -> None:
    shares = np.bincount([scene.request.things for scene in SCENES], minlength=5)[1:] / len(SCENES)
    assert shares == pytest.approx(list(THINGS_WEIGHTS.values()), abs=0.08)


def test_a_picture_has_its_background_in_the_corners_at_least() -> None:
    for scene in SCENES[:50]:
        image = scene.image()
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()
        assert list(BACKGROUNDS[scene.request.background]) in corners


def test_a_seed_decides_everything() -> None:
    one, two = (sample_scene(np.random.default_rng(3)) for _ in range(2))
    assert one == two
    assert (one.image() == two.image()).all()


def test_every_pictogram_has_a_sprite_of_its_own() -> None:
    sprites = [sprite(name, 20) for name in PICTOGRAMS]
    for index, patch in enumerate(sprites):
        assert patch.shape == (20, 20, 4)
        assert 0.2 < patch[..., 3].mean() < 1
        assert all(np.abs(patch - other).mean() > 1 for other in sprites[:index])
