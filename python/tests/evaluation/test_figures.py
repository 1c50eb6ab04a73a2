"""The figures against their definitions, written out plainly."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from diffusion_probe.evaluation.correlations import auc, pooled, spearman_within
from diffusion_probe.evaluation.figures import (
    TIE,
    best_of,
    bootstrap,
    gap_closed,
    mean_known,
    pairwise_accuracy,
    selection,
)

RNG = np.random.default_rng(0)
QUALITY = RNG.random((30, 8))
SCORES = QUALITY + RNG.normal(0, 0.4, QUALITY.shape)


def test_pairwise_accuracy_counts_pairs() -> None:
    for row, value in enumerate(pairwise_accuracy(SCORES, QUALITY)):
        right = total = 0
        for i, j in combinations(range(8), 2):
            if abs(QUALITY[row, i] - QUALITY[row, j]) > TIE:
                total += 1
                right += (QUALITY[row, i] > QUALITY[row, j]) == (SCORES[row, i] > SCORES[row, j])
        assert value == pytest.approx(right / total)


def test_tied_scores_count_half_and_tied_quality_not_at_all() -> None:
    assert pairwise_accuracy(np.zeros((1, 2)), np.array([[0.1, 0.9]])) == pytest.approx([0.5])
    assert np.isnan(pairwise_accuracy(np.array([[1.0, 2.0]]), np.full((1, 2), 0.5))).all()


def test_spearman_within_is_scipys_per_prompt() -> None:
    expected = [spearmanr(s, q).statistic for s, q in zip(SCORES, QUALITY, strict=True)]
    assert spearman_within(SCORES, QUALITY) == pytest.approx(expected)
    assert np.isnan(spearman_within(np.ones((1, 4)), QUALITY[:1, :4])).all()


def test_selection_returns_random_chosen_and_best() -> None:
    quality = np.array([[0.1, 0.5, 0.9, 0.3]])
    assert selection(np.array([[1, 2, 3, 0]]), quality)[0] == pytest.approx([0.45, 0.9, 0.9])
    assert selection(np.array([[9, 2, 3, 0]]), quality)[0] == pytest.approx([0.45, 0.1, 0.9])
    assert selection(np.zeros((1, 4)), quality)[0] == pytest.approx([0.45, 0.45, 0.9])


def test_fewer_candidates_cut_the_seeds_into_groups() -> None:
    quality = np.array([[0.0, 1.0, 0.2, 0.4]])
    scores = np.array([[0.0, 1.0, 1.0, 0.0]])
    assert selection(scores, quality, candidates=2)[0] == pytest.approx([0.4, 0.6, 0.7])


def test_the_gap_is_closed_by_true_qualities_and_not_by_equal_scores() -> None:
    assert gap_closed(QUALITY, QUALITY) == pytest.approx(1)
    assert gap_closed(np.zeros_like(QUALITY), QUALITY) == pytest.approx(0)
    assert gap_closed(-QUALITY, QUALITY) < 0
    assert np.isnan(gap_closed(QUALITY, np.ones_like(QUALITY)))


@pytest.mark.parametrize("finished", [1, 2, 3, 5, 8])
def test_best_of_k_is_the_mean_over_all_choices_of_k(finished: int) -> None:
    rows = QUALITY[:6]
    mean_best = np.mean([[max(row[list(chosen)]) for chosen in combinations(range(8), finished)] for row in rows])
    expected = (mean_best - rows.mean()) / (rows.max(axis=1).mean() - rows.mean())
    assert best_of(rows, candidates=8, finished=finished) == pytest.approx(expected)


def test_best_of_interpolates_between_whole_numbers() -> None:
    two, three = (best_of(QUALITY, 8, k) for k in (2, 3))
    assert best_of(QUALITY, 8, 2.5) == pytest.approx((two + three) / 2)


def test_auc_is_1_for_true_qualities() -> None:
    assert auc(QUALITY, QUALITY, 0.2) == pytest.approx(1)
    assert auc(-QUALITY, QUALITY, 0.2) == pytest.approx(0)
    assert np.isnan(auc(SCORES, np.ones_like(QUALITY), 0.2))


def test_pooled_correlations_have_their_signs() -> None:
    for name in ("srcc", "ktc", "pcc"):
        assert pooled(QUALITY, QUALITY, name) == pytest.approx(1)
        assert pooled(-QUALITY, QUALITY, name) == pytest.approx(-1)


def test_bootstrap_intervals_cover_the_true_mean_at_their_level() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for repeat in range(100):
        values = rng.normal(0, 1, 60)
        low, high = bootstrap(lambda rows, values=values: float(values[rows].mean()), 60, repeats=200, seed=repeat)
        covered += low <= 0 <= high
    assert 85 <= covered <= 100


def test_nan_does_not_count_in_means() -> None:
    assert mean_known(np.array([1.0, np.nan, 3.0])) == 2
    assert np.isnan(mean_known(np.array([np.nan])))
    assert np.isnan(bootstrap(lambda rows: float("nan"), 5, repeats=3)).all()
