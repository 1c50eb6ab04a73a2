"""The figures of the study `prompt` as a table of Markdown, for a terminal and for docs/workflows.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.text_table import markdown_table

CURVE = ("gain_per_call_ratio", "share_of_always_rewriting_gain")
HEAD = ("policy", "quality", "gain", "calls", "rewritten")


def study_text(figures: Mapping[str, Any]) -> str:
    """Two tables, and the figures that compare their rows."""
    one = (
        f"{figures['captions']} captions in {figures['wordings']:g} wordings on average, {figures['seeds']} seeds each, scored "
        f"by {figures['probe']} at step {figures['look_step']}. At most {figures['candidates']} rewrites; an answer of the "
        f"rewriter is priced at {figures['rewriter_calls']:g} calls; tau {_tau(figures['tau'])}. Brackets are 95% intervals over "
        "captions."
    )
    parts = [
        one,
        "One finished image; gain over the caption as given:",
        markdown_table([HEAD, *(_cells(row) for row in figures["one_image"])]),
        _line("Gain per additional call, rewrite below tau / always rewrite", "gain_per_call_ratio", figures),
        _line("The same per call of all calls", "gain_per_call_ratio_of_all_calls", figures),
        _line("Share of always rewriting's gain that rewriting below tau keeps", "share_of_always_rewriting_gain", figures),
        *_curve(figures),
        f"The denoiser calls of {figures['budget']:g} whole images; gain over the plan alone. The plan: {figures['plan']}.",
        markdown_table([HEAD, *(_cells(row) for row in figures["at_budget"])]),
        _line("Prompt optimization + plan, less the plan alone", "better_than_plan_alone", figures),
        _line("Prompt optimization + plan, less best-of-k", "better_than_best_of_k", figures),
        _line("Pairs of rewrites of one caption that the score puts in the right order", "pairwise_accuracy", figures),
        f"The same for the rewrites' means over seeds: {_number(figures['pairwise_accuracy_of_means'])}. "
        f"Of the variance of quality within a caption {_number(figures['wording_variance_share'])} is between its wordings.",
    ]
    return "\n\n".join(parts)


def _curve(figures: Mapping[str, Any]) -> list[str]:
    """What other taus bring; empty where there are none."""
    rows = [
        (
            f"{100 * row['lowest']:g}%",
            _number(row["tau"]),
            f"{100 * row['rewritten']:.0f}%",
            *(f"{_number(row[name])} {_interval(row[f'{name}_interval'])}" for name in CURVE),
        )
        for row in figures["by_tau"]
    ]
    head = ("lowest scores of the calibration", "tau", "rewritten", "gain per additional call", "share of the gain")
    return ["Other taus, beside always rewriting:", markdown_table([head, *rows])] if rows else []


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    quality, gain = (f"{_number(row[name])} {_interval(row[f'{name}_interval'])}" for name in ("quality", "gain"))
    return row["policy"], quality, gain, f"{row['calls']:.4g}", f"{100 * row['rewritten']:.0f}%"


def _line(text: str, name: str, figures: Mapping[str, Any]) -> str:
    return f"{text}: {_number(figures[name])} {_interval(figures[f'{name}_interval'])}."


def _tau(entry: Mapping[str, Any]) -> str:
    return f"{entry['value']} ({entry['from']})"


def _interval(ends: Sequence[float | None]) -> str:
    return f"[{_number(ends[0])}, {_number(ends[1])}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
