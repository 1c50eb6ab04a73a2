"""Noise levels, training pairs, and the sampler on a small backbone with random weights."""

import pytest
import torch

from diffusion_probe.reference.backbone import Backbone, BackboneConfig, pad_ids, text_mask_of, unconditional_ids
from diffusion_probe.reference.captions import tokenize
from diffusion_probe.reference.rectified_flow import StepOutput, noise_levels, sample, training_pair
from diffusion_probe.reference.source import grid_maps
from diffusion_probe.reference.vocabulary import PAD_ID

CONFIG = BackboneConfig(grid_width=16, core_width=16, core_blocks=2, text_width=16, text_layers=1, heads=2)
IDS = pad_ids([tokenize("a cat on a blue background"), tokenize("two dogs left of an owl on a grey background")])


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    model = Backbone(CONFIG).eval()
    for parameter in model.parameters():  # modules initialised to zero would hide mistakes
        torch.nn.init.normal_(parameter, std=0.08)
    return model


def test_noise_levels_are_the_frozen_ones() -> None:
    levels = noise_levels()
    assert len(levels) == 26
    assert levels[0] == 1
    assert levels[-1] == 0
    assert (levels[:-1] > levels[1:]).all()
    assert levels[4].item() == pytest.approx(0.7786, abs=1e-4)
    assert levels[9].item() == pytest.approx(0.5436, abs=1e-4)


def test_the_velocity_of_a_training_pair_leads_back_to_its_image() -> None:
    images = torch.rand(8, 3, 64, 64) * 2 - 1
    latents, timestep, velocity = training_pair(images, torch.Generator().manual_seed(1))
    sigma = (timestep / 1000)[:, None, None, None]
    assert torch.allclose(latents - sigma * velocity, images, atol=1e-5)
    assert timestep.min() > 0
    assert timestep.max() < 1000
    assert timestep.diff().abs().min() > 0


def test_attention_is_a_distribution_over_real_tokens(backbone: Backbone) -> None:
    mask = text_mask_of(IDS)
    text = backbone.text_encoder(IDS, mask)
    _, maps = backbone.denoiser(torch.randn(2, 3, 64, 64), torch.full((2,), 500.0), text, mask)
    assert len(maps) == len(CONFIG.layers)
    for probabilities in maps:
        assert torch.allclose(probabilities.sum(dim=-1), torch.ones(()), atol=1e-5)
        assert probabilities[0][..., IDS[0] == PAD_ID].max() == 0


def test_padding_does_not_change_the_image(backbone: Backbone) -> None:
    short = IDS[:1, :7]
    latents = torch.randn(1, 3, 64, 64)
    assert torch.allclose(sample(backbone, short, latents, steps=2), sample(backbone, IDS[:1], latents, steps=2), atol=1e-5)


def test_capturing_steps_does_not_change_the_image(backbone: Backbone) -> None:
    latents = torch.randn(2, 3, 64, 64)
    outputs: list[StepOutput] = []
    watched = sample(backbone, IDS, latents, steps=4, on_step=outputs.append, capture_steps=frozenset({1, 3}))
    assert torch.equal(watched, sample(backbone, IDS, latents, steps=4))
    assert [step.index for step in outputs] == [1, 3]
    assert outputs[0].sigma == 1
    assert outputs[0].preview.shape == latents.shape
    assert (outputs[0].guidance_difference > 0).all()


def test_guidance_has_no_effect_on_the_empty_caption(backbone: Backbone) -> None:
    latents = torch.randn(1, 3, 64, 64)
    empty = unconditional_ids(1, IDS.shape[1])
    assert torch.allclose(
        sample(backbone, empty, latents, steps=2, guidance=1.0),
        sample(backbone, empty, latents, steps=2, guidance=7.0),
        atol=1e-4,
    )


def test_grid_maps_preserve_the_mean_probabilities() -> None:
    fine = torch.rand(2, 4, 1024, 5).softmax(dim=-1)
    same = torch.rand(2, 4, 256, 5).softmax(dim=-1)
    coarse = torch.rand(2, 4, 64, 5).softmax(dim=-1)
    grid = grid_maps([fine, same, coarse], 16)
    assert grid.shape == (2, 3, 4, 16, 16)
    begin = torch.stack([m[..., 0].mean(dim=1).mean(dim=1) for m in (fine, same, coarse)], dim=1)
    assert torch.allclose(grid.sum(dim=2).mean(dim=(2, 3)), 1 - begin, atol=1e-5)
    assert torch.equal(grid[:, 1], same.mean(dim=1)[..., 1:].transpose(1, 2).unflatten(2, (16, 16)))


def test_rows_that_are_not_kept_are_no_longer_computed(backbone: Backbone) -> None:
    latents = torch.randn(2, 3, 64, 64)
    rows: list[int] = []
    hook = backbone.denoiser.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    kept = sample(backbone, IDS, latents, steps=4, on_step=lambda step: [1], capture_steps=frozenset({2}))
    hook.remove()
    assert rows == [4, 4, 2, 2]
    assert torch.allclose(kept, sample(backbone, IDS, latents, steps=4)[1:], atol=1e-5)
