"""The page `report.md` of an evaluation."""

from __future__ import annotations

from typing import Any

from ..probe.manifest import total_steps_of

TITLES = {
    "probe": "**probe**",
    "prompt_only": "prompt only (ridge on words)",
    "true_prompt_mean": "true prompt mean (ceiling of prompt-only)",
    "attend_and_excite": "Attend-and-Excite score",
    "focus": "focus (least negative entropy)",
    "guidance_difference": "guidance difference",
    "preview_quality": "x0 preview + metric",
    "oracle": "oracle",
}
POOLED = {"srcc": "SRCC", "pcc": "PCC", "ktc": "KTC", "auc_10": "AUC 10%", "auc_20": "AUC 20%", "auc_50": "AUC 50%"}
WITHIN = {
    "spearman_within": "Spearman",
    "pairwise_accuracy": "pairwise accuracy",
    "gap_closed_4": "gap closed, N=4",
    "gap_closed_8": "N=8",
    "gap_closed_16": "N=16",
}


def markdown(manifest: dict[str, Any], report: dict[str, Any]) -> str:
    """The page as Markdown, from the probe's manifest and the report of `evaluate`."""
    quality = report["quality"]
    lines = [
        f"# Probe {manifest['name']} {manifest['version']}: evaluation",
        "",
        f"{report['prompts']} prompts of the {report['split']} split, none of which was trained or calibrated on, "
        f"{report['seeds']} seeds each. Quality is {manifest['metric']['name']}: mean {quality['mean']:.3f}, standard deviation "
        f"{quality['std']:.3f}, {quality['within']:.0%} of the variance within prompts. Brackets hold 95% bootstrap intervals "
        "over prompts. AUC is for finding the lowest 10, 20 and 50% of quality.",
        "",
        "Pooled figures mix easy and hard prompts: a method that knows nothing but the prompt scores well there and closes none "
        "of the gap between a random seed and the best one. The figures within prompts are the ones that choosing among "
        "candidates depends on.",
    ]
    if report["kept"]:
        lines += ["", f"Training {report['kept']}."]
    lines += missing_text(report)
    for step, entry in report["steps"].items():
        lines += ["", f"## Step {step} of {total_steps_of(manifest)} (timestep {entry['timestep']:g})", ""]
        lines += methods_table("Pooled", POOLED, entry["methods"])
        lines += ["", *methods_table("Within prompts", WITHIN, entry["methods"])]
        lines += ["", *compute_table(step, entry)]
        if entry["false_drop"]:
            lines += ["", *false_drop_table(manifest, entry["false_drop"])]
    lines += ["", "![Share of the oracle gap closed](gap.png)", "", "![AUC over the share of bad images](auc.png)"]
    lines += ["", "![Calibration](calibration.png)", "", "![Scores and qualities](scatter.png)"]
    return "\n".join(lines) + "\n"


def missing_text(report: dict[str, Any]) -> list[str]:
    """The baselines and prompts that the report does not include, with the reason."""
    lines: list[str] = []
    if report["not_compared"]:
        names = ", ".join(TITLES[name] for name in report["not_compared"])
        lines += ["", f"Not compared: {names}. The data set does not hold what they need."]
    if report["prompts_without_quality"]:
        lines += ["", f"{report['prompts_without_quality']} prompts are excluded: the metric failed on some of their images."]
    return lines


def methods_table(title: str, columns: dict[str, str], methods: dict[str, Any]) -> list[str]:
    """One row per method, one column per figure."""
    present = {key: label for key, label in columns.items() if key in methods["probe"]}
    lines = [f"| {title} | {' | '.join(present.values())} |", "|---" * (len(present) + 1) + "|"]
    for name, figures in methods.items():
        lines.append(f"| {TITLES[name]} | {' | '.join(cell(figures[key]) for key in present)} |")
    return lines


def cell(figure: dict[str, float]) -> str:
    """A figure with its interval, if it has one."""
    value = figure["value"]
    if value != value:
        return "-"
    if "low" not in figure:
        return f"{value:.3f}"
    return f"{value:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def compute_table(step: str, entry: dict[str, Any]) -> list[str]:
    """Choosing one of N at this step, beside finishing k images with as many denoiser calls."""
    lines = [
        f"| Choosing one of N at step {step} | denoiser calls | gap closed by the probe | full best-of-k for the same calls |",
        "|---|---|---|---|",
    ]
    for candidates, row in entry["equal_compute"].items():
        closed = entry["methods"]["probe"][f"gap_closed_{candidates}"]["value"]
        lines.append(f"| N={candidates} | {row['calls']} | {closed:.3f} | {row['gap_closed']:.3f} (k={row['best_of']:g}) |")
    return lines


def false_drop_table(manifest: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """What the calibrated thresholds drop on these prompts."""
    good_at = manifest["metric"]["good_at"]
    lines = [
        f"| alpha | threshold | good samples dropped (quality >= {good_at:g}) | dropped in all | mean quality kept |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        threshold = "uncalibrated" if row["threshold"] is None else f"{row['threshold']:.3f}"
        lines.append(
            f"| {row['alpha']:g} | {threshold} | {row['false_drop']:.3f} | {row['drop_rate']:.3f} | {row['kept_quality']:.3f} |"
        )
    return lines
