"""Rows are selected by what an argument is, not only by its length."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput

from diffusion_probe.capture import DenoiserCall
from diffusion_probe.client import Kept
from diffusion_probe.guard.batch_rows import BatchLayoutError, narrowed, widened

KEPT = Kept.of([1, 3], 4)


def call(**arguments) -> DenoiserCall:
    return DenoiserCall(lambda **given: given, arguments, 0)


def test_rows_are_selected_in_every_argument_that_has_them() -> None:
    latents = torch.arange(8.0)[:, None]
    reduced = narrowed(
        call(
            sample=latents,
            timestep=torch.tensor(5.0),
            guidance=None,
            scale=torch.arange(8),
            added_cond_kwargs={"text_embeds": latents, "image_embeds": [latents, (latents, 3)]},
            skip_layers=[0] * 8,
        ),
        "sample",
        KEPT,
    )
    rows = torch.tensor([1.0, 3, 5, 7])[:, None]
    given = reduced.arguments
    assert torch.equal(given["sample"], rows)
    assert given["timestep"].item() == 5
    assert given["guidance"] is None
    assert given["scale"].tolist() == [1, 3, 5, 7]
    assert torch.equal(given["added_cond_kwargs"]["text_embeds"], rows)
    assert torch.equal(given["added_cond_kwargs"]["image_embeds"][0], rows)
    assert torch.equal(given["added_cond_kwargs"]["image_embeds"][1][0], rows)
    assert given["skip_layers"] == [0] * 8
    assert reduced.images == (1, 3)


def test_positions_are_not_selected_even_if_there_are_as_many_as_rows() -> None:
    ids = torch.arange(4)[:, None]
    arguments = {"img_ids": ids, "txt_ids": ids, "img_shapes": [[(1, 2, 2)]] * 4}
    given = narrowed(call(hidden_states=torch.zeros(4, 4, 2), **arguments), "hidden_states", KEPT).arguments
    assert torch.equal(given["img_ids"], ids)
    assert torch.equal(given["txt_ids"], ids)
    assert given["img_shapes"] == [[(1, 2, 2)]] * 2
    assert given["hidden_states"].shape == (2, 4, 2)


@pytest.mark.parametrize("halves", [1, 2])
def test_an_output_is_put_back_in_its_rows(halves: int) -> None:
    rows = 4 * halves
    full = torch.arange(float(rows))[:, None]
    part = narrowed(call(sample=full), "sample", KEPT).arguments["sample"]
    selected = [1, 3] if halves == 1 else [1, 3, 5, 7]
    for output in ((part,), Transformer2DModelOutput(sample=part)):
        whole = widened(output, KEPT, rows)
        assert type(whole) is type(output)
        assert whole[0].shape == full.shape
        assert torch.equal(whole[0][selected], full[selected])
        assert torch.isfinite(whole[0]).all()


def test_other_layouts_are_refused() -> None:
    with pytest.raises(BatchLayoutError, match="6 rows cannot be those of 4 images"):
        narrowed(call(sample=torch.zeros(6, 1)), "sample", KEPT)
    with pytest.raises(BatchLayoutError, match=r"the output is \[4, 1\]: expected 2 rows"):
        widened((torch.zeros(4, 1),), KEPT, 4)
    with pytest.raises(BatchLayoutError, match="the output is a str"):
        widened("x", KEPT, 4)
