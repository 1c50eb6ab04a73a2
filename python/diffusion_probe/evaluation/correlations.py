"""Figures of a probe that need SciPy or scikit-learn. Scores and quality are float arrays [prompts, seeds]."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr
from sklearn.metrics import roc_auc_score

CORRELATIONS = {"srcc": spearmanr, "ktc": kendalltau, "pcc": pearsonr}


def pooled(scores: np.ndarray, quality: np.ndarray, name: str) -> float:
    """Correlation over all samples, -1 to 1: Spearman (`srcc`), Kendall (`ktc`) or Pearson (`pcc`)."""
    return float(CORRELATIONS[name](scores.ravel(), quality.ravel()).statistic)


def auc(scores: np.ndarray, quality: np.ndarray, bad_share: float) -> float:
    """Area under the ROC curve, 0 to 1, for finding the bad samples: those with the lowest `bad_share` of quality."""
    bad = quality.ravel() <= np.quantile(quality, bad_share)
    if bad.all() or not bad.any():
        return float("nan")
    return float(roc_auc_score(bad, -scores.ravel()))


def spearman_within(scores: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """[prompts]: Spearman correlation over the seeds of each prompt; nan where either is constant."""
    s = rankdata(scores, axis=1)
    q = rankdata(quality, axis=1)
    s -= s.mean(axis=1, keepdims=True)
    q -= q.mean(axis=1, keepdims=True)
    norm = np.sqrt((s**2).sum(axis=1) * (q**2).sum(axis=1))
    return np.divide((s * q).sum(axis=1), norm, out=np.full(len(s), np.nan), where=norm > 0)
