"""The study of policies on made-up matrices: each policy against the same rule written plainly, and what the table says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_probe.planning.plan import Plan
from diffusion_probe.prompting import ALWAYS, NEVER, PromptOptimizer, Wish
from diffusion_probe.prompting.matrix import Matrix
from diffusion_probe.prompting.policies import as_given, by_plan, one_image, unseen_rewrite
from diffusion_probe.prompting.ranking import ranking
from diffusion_probe.prompting.study import study_prompt
from diffusion_probe.prompting.study_text import study_text

from ..planning.synthetic import POINTS, STEPS
from .made_up import ListRewriter, MadeUpBackend, MadeUpClient, probe_folder

STEP = 3
UNIT = (0.0, 1.0)


def made_up_matrix(captions: int, seeds: int, noise: float, between: float, seed: int = 0, most: int = 4) -> Matrix:
    """Captions in 2 to `most` wordings, whose means differ by `between`."""
    rng = np.random.default_rng(seed)
    wordings = [[f"caption {c} wording {w}" for w in range(rng.integers(2, most + 1))] for c in range(captions)]
    counts = [len(own) for own in wordings]
    level = np.repeat(rng.normal(size=captions), counts) + between * rng.normal(size=sum(counts))
    quality = level[:, None] + rng.normal(size=(sum(counts), seeds))
    scores = quality[:, :, None] + noise * rng.normal(size=(*quality.shape, len(POINTS)))
    return Matrix("made-up@4", STEPS, POINTS, wordings, scores, quality)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([NEVER, -0.5, 0.4, ALWAYS]))
def test_one_image_costs_and_brings_what_the_optimizer_does(tmp_path_factory, seed: int, tau: float) -> None:
    """The optimizer draws each caption with the matrix as its world."""
    matrix = made_up_matrix(4, 1, 0.5, 0.5, seed)
    folder = FOLDER.setdefault("probe", probe_folder(tmp_path_factory.mktemp("probe")))
    value = one_image(matrix, STEP, tau, 0.0)
    for caption, own in enumerate(matrix.wordings):
        rows = range(matrix.first[caption], matrix.first[caption] + len(own))
        scores = {text: float(matrix.scores[row, 0, POINTS.index(STEP)]) for text, row in zip(own, rows, strict=True)}
        qualities = {text: float(matrix.quality[row, 0]) for text, row in zip(own, rows, strict=True)}
        backend, rewriter = MadeUpBackend(scores, qualities), ListRewriter(own[1:])
        wish = Wish(tau=tau, look_step=STEP, candidates=len(own))
        answer = PromptOptimizer(backend, rewriter, wish, client=MadeUpClient(), probe=folder)(own[0])
        assert value.quality[caption] == pytest.approx(answer.best.quality)
        assert value.calls[caption] == answer.calls


FOLDER: dict[str, Path] = {}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([-0.5, 0.4, ALWAYS]))
def test_a_budget_brings_what_the_plan_does_with_the_wordings_in_turn(seed: int, tau: float) -> None:
    matrix = made_up_matrix(5, 4, 0.5, 0.5, seed)
    plan = Plan(4, ((1, 3), (5, 2)))
    value = by_plan(matrix, plan, 2, STEP, tau, 7.0, STEP)
    for caption in range(5):
        qualities, asked = [], 0
        for rotation in range(matrix.seeds):
            first = matrix.first[caption]
            below = matrix.scores[first, rotation, POINTS.index(STEP)] < tau
            asked += below
            present = min(len(matrix.wordings[caption]), 3) if below else 1
            alive = [(first + i % present, (rotation + i // present) % matrix.seeds) for i in range(plan.seeds)]
            for step, count in plan.keep:
                scores = matrix.scores[:, :, POINTS.index(step)]
                alive = sorted(alive, key=lambda sample, scores=scores: -scores[sample])[:count]
            qualities.append(max(matrix.quality[sample] for sample in alive))
        assert value.quality[caption] == pytest.approx(np.mean(qualities))
        assert value.calls[caption] == pytest.approx(plan.calls(STEPS) + STEP + 7.0 * asked / matrix.seeds)


def test_the_ends_of_tau_are_the_caption_as_given_and_always_rewriting() -> None:
    matrix = made_up_matrix(20, 3, 0.5, 0.5)
    never, given_ = one_image(matrix, STEP, NEVER, 0.0), as_given(matrix)
    assert never.quality == pytest.approx(given_.quality)
    assert (never.calls == STEPS).all()
    oracle, always = one_image(matrix, STEP, ALWAYS, 0.0, oracle=True), one_image(matrix, STEP, ALWAYS, 0.0)
    assert (oracle.quality >= always.quality - 1e-12).all()
    assert always.calls.tolist() == [STEPS + (count - 1) * STEP for count in matrix.counts]
    assert unseen_rewrite(matrix, 5.0).calls.tolist() == [STEPS + 5.0] * 20


def test_the_figures_of_the_study(tmp_path: Path) -> None:
    folder = probe_folder(tmp_path, noise=0.5, seeds=6)
    matrix = made_up_matrix(60, 6, 0.5, 0.5)
    figures = study_prompt(matrix, folder, Wish(tau=-0.5, look_step=1, candidates=3), 2.0)
    json.dumps(figures, allow_nan=False)
    given_, unseen, below, always, oracle = figures["one_image"]
    gain, extra = below["quality"] - given_["quality"], below["calls"] - STEPS
    gain_always, extra_always = always["quality"] - given_["quality"], always["calls"] - STEPS
    assert figures["gain_per_call_ratio"] == pytest.approx((gain / extra) / (gain_always / extra_always), rel=1e-2)
    assert figures["share_of_always_rewriting_gain"] == pytest.approx(gain / gain_always, rel=1e-2)
    assert 0 < below["rewritten"] < 1
    assert figures["gain_per_call_ratio"] > 1, "rewriting pays more where the score is low"
    assert abs(unseen["gain"]) < gain_always < oracle["gain"]
    best, alone, ours, _ = figures["at_budget"]
    assert figures["better_than_plan_alone"] == pytest.approx(ours["quality"] - alone["quality"], abs=2e-4)
    assert figures["better_than_best_of_k"] == pytest.approx(ours["quality"] - best["quality"], abs=2e-4)
    assert max(row["calls"] for row in figures["at_budget"]) <= 2 * STEPS
    curve = figures["by_tau"]
    assert [row["lowest"] for row in curve] == [0.2, 0.3, 0.4, 0.5, 0.6]
    for name in ("tau", "rewritten", "share_of_always_rewriting_gain"):
        assert [row[name] for row in curve] == sorted(row[name] for row in curve)
    low, high = figures["gain_per_call_ratio_interval"]
    assert low < figures["gain_per_call_ratio"] < high
    text = study_text(figures)
    assert f"| rewrite below tau | {below['quality']:.3f} [" in text
    assert "Gain per additional call, rewrite below tau / always rewrite: " in text


def test_wordings_that_differ_much_make_prompt_optimization_better_than_the_plan_alone(tmp_path: Path) -> None:
    folder = probe_folder(tmp_path, noise=0.3, seeds=6)
    far, near = (made_up_matrix(150, 6, 0.3, between, seed=3) for between in (2.0, 0.0))
    wish = Wish(tau=ALWAYS, look_step=1, candidates=3)
    assert study_prompt(far, folder, wish, 2.0)["better_than_plan_alone_interval"][0] > 0
    low, high = study_prompt(near, folder, wish, 2.0)["better_than_plan_alone_interval"]
    assert low < 0.1
    assert high > -0.1


def test_a_rule_that_never_rewrites_has_no_ratio(tmp_path: Path) -> None:
    figures = study_prompt(made_up_matrix(10, 6, 0.5, 0.5), probe_folder(tmp_path), Wish(tau=NEVER, look_step=1), 2.0)
    assert (figures["gain_per_call_ratio"], figures["share_of_always_rewriting_gain"]) == (None, 0)
    assert "Gain per additional call, rewrite below tau / always rewrite: - [-, -]." in study_text(figures)


def test_pairs_are_of_rewrites_of_one_caption() -> None:
    """A score that knows the caption alone puts half of the pairs in order; a perfect one all of them."""
    matrix = made_up_matrix(80, 4, 0.0, 1.0, most=5)
    assert ranking(matrix, STEP, UNIT)["pairwise_accuracy"] == 1
    level = np.repeat(
        [matrix.quality[first : first + count].mean() for first, count in zip(matrix.first, matrix.counts, strict=True)],
        matrix.counts,
    )
    by_caption = Matrix(
        matrix.probe, STEPS, POINTS, matrix.wordings, np.broadcast_to(level[:, None, None], matrix.scores.shape), matrix.quality
    )
    assert ranking(by_caption, STEP, UNIT)["pairwise_accuracy"] == pytest.approx(0.5)
    blind = made_up_matrix(80, 4, 1e6, 1.0, most=5)
    assert ranking(blind, STEP, UNIT)["pairwise_accuracy"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("between", [0.0, 1.0, 3.0])
def test_the_share_of_the_wordings_in_the_variance(between: float) -> None:
    found = ranking(made_up_matrix(400, 8, 0.5, between, most=6), STEP, UNIT)["wording_variance_share"]
    assert found == pytest.approx(between**2 / (between**2 + 1), abs=0.06)


def test_a_matrix_is_read_as_it_was_written_with_ranks(tmp_path: Path) -> None:
    matrix = made_up_matrix(5, 3, 0.5, 0.5)
    path = tmp_path / "out" / "matrix.json"
    matrix.write(path, STEP)
    again = Matrix.read(path)
    assert (again.wordings, again.points, again.probe) == (matrix.wordings, POINTS, "made-up@4")
    assert again.quality == pytest.approx(matrix.quality, rel=1e-5)
    assert again.scores == pytest.approx(matrix.scores, rel=1e-5)
    for own in json.loads(path.read_text())["captions"]:
        by_rank = sorted(own, key=lambda entry: entry["rank_by_quality"])
        means = [np.mean(entry["quality"]) for entry in by_rank]
        assert means == sorted(means, reverse=True)
        assert sorted(entry["rank_by_score"] for entry in own) == list(range(1, len(own) + 1))


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"captions": []}', '{"captions": [[{"prompt": "a", "quality": [1], "scores": []}]]}']
)
def test_a_matrix_that_is_not_valid_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "matrix.json").write_text(text)
    with pytest.raises(ValueError, match=r"matrix\.json is not valid"):
        Matrix.read(tmp_path / "matrix.json")


def test_a_plan_of_more_seeds_than_were_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="starts 9 seeds of a caption: 3 were drawn"):
        by_plan(made_up_matrix(3, 3, 0.5, 0.5), Plan(9), 2, STEP, math.inf, 0.0, 0)
