"""The page docs/backbones.md, from the figures of docs/backbones.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evaluation.text_table import markdown_table
from ..probe.manifest import write_json
from .paper import FIGURES, NAMES, PUBLISHED
from .study import Study

PAGE, JSON = "backbones.md", "backbones.json"
COMMAND = "diffusion-probe study backbones --write"
RECORD = "adr/0055-figures-of-three-backbones.md"
CHOICES = {
    "gap_8": "**probe**",
    "gap_8_prompt_mean": "true prompt mean",
    "gap_8_attend_and_excite": "Attend-and-Excite score",
    "gap_8_guidance_difference": "guidance difference",
    "gap_8_preview": "x0 preview + metric",
    "gap_8_own": "probe of our own backbone",
}


def write_study(docs: Path, study: Study) -> None:
    """Write docs/backbones.json and docs/backbones.md."""
    write_json(docs / JSON, study.backbones)
    (docs / PAGE).write_text(f"# Three backbones\n\n{study_text(study)}\n", encoding="utf-8")


def study_text(study: Study) -> str:
    """The page without its title."""
    head = (
        "Small pipelines of the classes of Stable Diffusion XL, FLUX.1 and Qwen-Image, trained on the scenes of the reference "
        f"world, and a probe for each, made by the public commands alone. `{COMMAND}` writes this page; [the record]({RECORD}) "
        "has the commands behind it. Brackets hold 95% bootstrap intervals over test prompts.\n\n"
        "The paper's figures are of the large models, ImageReward and prompts of COCO "
        "([arXiv 2602.23783](https://arxiv.org/abs/2602.23783)). **The worlds differ**, so neither figure says how the other "
        "probe would do: a correlation over all prompts depends on how far prompts differ in difficulty. The row *true prompt "
        "mean* shows it: it knows the mean quality of each prompt, and nothing of its images."
    )
    parts = [head, *(backbone_text(name, figures) for name, figures in study.backbones.items())]
    own = "" if study.own is None else f"The probe of our own backbone is `{study.own}`, on its own test captions."
    missing = "\n".join(["## Missing", "", *(f"- {what}" for what in study.missing)]) if study.missing else ""
    return "\n\n".join(part for part in (*parts, own, missing) if part)


def backbone_text(name: str, figures: Mapping[str, Any]) -> str:
    """The section of one backbone."""
    quality, (height, width) = figures["quality"], figures["resolution"]
    trained = "" if figures["training_prompts"] is None else f"trained on {figures['training_prompts']} prompts, "
    lead = (
        f"`{figures['probe']}` reads {figures['layers']} layers, {trained}{figures['test_prompts']} test prompts of "
        f"{figures['seeds']} images, {height}x{width} pixels. Quality is `{figures['metric']}`: mean {quality['mean']:.3f}, "
        f"{quality['within']:.0%} of its variance within prompts."
    )
    parts = [
        f"## {NAMES[name]}\n\n{lead}",
        pooled_table(name, figures["steps"]),
        choice_table(figures["steps"]),
        plan_text(figures["plan"]),
    ]
    if len(figures["curve"]) > 1:
        parts.append(curve_table(figures["curve"]))
    for variant in figures["variants"].values():
        parts.append(variant_text(variant))
    return "\n\n".join(parts)


def pooled_table(name: str, steps: Mapping[str, Any]) -> str:
    """Figures over all images of all prompts, beside those of the paper."""
    rows = [["step", "", "SRCC", "KTC", "PCC", "AUC 20%", "pairwise, within prompts"]]
    for step, own in steps.items():
        rows.append([step, "**probe**", *(cell(own, figure) for figure in (*FIGURES, "pairwise"))])
        rows.append([step, "true prompt mean", cell(own, "srcc_prompt_mean"), *[""] * 4])
        if int(step) in PUBLISHED[name]:
            rows.append([step, f"paper, {NAMES[name]}", *(f"{value:.2f}" for value in PUBLISHED[name][int(step)]), ""])
    note = "The paper does not say which share of the images its AUC calls bad."
    return f"{markdown_table(rows)}\n\n{note}"


def choice_table(steps: Mapping[str, Any]) -> str:
    """The gap closed by choosing one of eight, by method."""
    rows = [["gap closed, N = 8", *(f"step {step}" for step in steps)]]
    rows += [[title, *(cell(own, key) for own in steps.values())] for key, title in CHOICES.items()]
    return markdown_table(rows)


def plan_text(plan: Mapping[str, Any]) -> str:
    """What the plan brings by calls, and by wall clock if that was measured."""
    rows = [
        [f"at the cost of {plan['budget']} whole images", "plan", "best-of-k", "difference"],
        ["by denoiser calls", cell(plan, "gap"), cell(plan, "best_of_3"), cell(plan, "gain", "+.3f")],
    ]
    text = f"Shares of the gap closed by the plan *{plan['text']}* ({plan['calls']} calls), chosen on calibration prompts:"
    if "seconds" not in plan:
        return f"{text}\n\n{markdown_table(rows)}"
    rows.append(["by wall clock", f"{plan['gap']:.3f}", f"{plan['best_of_same_seconds']:.3f}", f"{plan['gain_by_seconds']:+.3f}"])
    failed = f" {plan['failed_open']} of its runs failed open." if plan["failed_open"] else ""
    timed = (
        f"On {plan['timed_prompts']} prompts the plan took {plan['seconds']:.3f} s a prompt and best-of-{plan['budget']} "
        f"{plan['seconds_best_of_3']:.3f} s; best-of-k in the second row has the plan's seconds.{failed}"
    )
    return f"{text}\n\n{markdown_table(rows)}\n\n{timed}"


def curve_table(curve: Mapping[str, Any]) -> str:
    """Figures against the number of prompts that the probe was trained on."""
    steps = list(dict.fromkeys(step for own in curve.values() for step in own))
    rows = [["training prompts", *(f"{label}, step {step}" for step in steps for label in ("SRCC", "gap closed"))]]
    for prompts, own in curve.items():
        rows.append([prompts, *(cell(own.get(step, {}), figure) for step in steps for figure in ("srcc", "gap_8"))])
    return markdown_table(rows)


def variant_text(variant: Mapping[str, Any]) -> str:
    """Figures of a probe for another metric, resolution or other conditions of the same pipeline."""
    height, width = variant["resolution"]
    title = f"### Another {' and '.join(variant['differs'])}: `{variant['metric']}`, {height}x{width} pixels"
    rows = [["step", "SRCC", "KTC", "PCC", "AUC 20%", "pairwise, within prompts", "gap closed, N = 8", "true prompt mean's SRCC"]]
    keys = (*FIGURES, "pairwise", "gap_8", "srcc_prompt_mean")
    rows += [[step, *(cell(own, key) for key in keys)] for step, own in variant["steps"].items()]
    return f"{title}\n\n{markdown_table(rows)}\n\n{plan_text(variant['plan'])}"


def cell(figures: Mapping[str, Any], name: str, form: str = ".3f") -> str:
    """A figure with its interval if it has one; a dash where it is not known."""
    value, low, high = (figures.get(key) for key in (name, f"{name}_low", f"{name}_high"))
    if value is None or value != value:
        return "-"
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"
