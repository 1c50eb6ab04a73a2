"""The comparison of reductions, on summaries of which it is known how much they say."""

import numpy as np
import pytest

from diffusion_probe.evaluation.layers.reductions import (
    ALL_HEADS,
    DEFAULT,
    STRONGEST_HEADS,
    compare_reductions,
    reduction_rows,
    reductions_text,
)

LAYERS, HEADS, STEPS, PROMPTS, SEEDS, FEATURES = 2, 6, 2, 40, 8, 5


def world() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Quality is in one feature of two heads, covered by noise in the default, and absent in another reduction."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=(PROMPTS, SEEDS)) + rng.normal(size=(PROMPTS, 1))
    heads = rng.normal(size=(LAYERS, HEADS, STEPS, PROMPTS, SEEDS, FEATURES))
    heads[:, 1:3, ..., 0] += 1.5 * quality
    default = rng.normal(size=(LAYERS, STEPS, PROMPTS, SEEDS, FEATURES))
    without = default.copy()
    default[..., 0] += quality
    default[:, 1, ..., 0] += quality  # the later step knows more
    return {DEFAULT: default, "without": without}, heads, quality


def test_reductions_are_ranked_by_what_they_know() -> None:
    features, heads, quality = world()
    rows = {row["reduction"]: row for row in reduction_rows(compare_reductions(features, heads, quality), (1, 5))}
    assert rows.keys() == {DEFAULT, "without", ALL_HEADS, STRONGEST_HEADS}
    assert rows[DEFAULT]["signal"] > 0.6
    assert rows[DEFAULT]["by_step"]["5"] > rows[DEFAULT]["by_step"]["1"] + 0.1
    assert abs(rows["without"]["signal"]) < 0.1
    assert rows["without"]["high"] < 0
    assert rows[STRONGEST_HEADS]["signal"] > rows[ALL_HEADS]["signal"] + 0.05
    assert "without" in reductions_text(list(rows.values()), PROMPTS, SEEDS)


def test_heads_are_judged_on_prompts_that_they_were_not_chosen_on() -> None:
    features, heads, quality = world()
    noise = np.random.default_rng(1).normal(size=heads.shape)
    row = next(
        row for row in reduction_rows(compare_reductions(features, noise, quality), (1, 5)) if row["reduction"] == STRONGEST_HEADS
    )
    assert abs(row["signal"]) < 0.06


def test_too_few_prompts_are_refused() -> None:
    features, _, quality = world()
    few = {name: values[:, :, :5] for name, values in features.items()}
    with pytest.raises(ValueError, match="5 prompts of 8 images: expected at least 10 of 3"):
        compare_reductions(few, None, quality[:5])
