"""The curve of time against accuracy of students of several sizes, beside their teachers."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from ..evaluation.text_table import markdown_table
from ..probe.blocks import Network
from ..probe.manifest import DTYPES, to_json
from ..probe.onnx_export import export_onnx
from ..progress import Progress
from .checkpoint import require_checkpoint

BATCH = 8
TOKENS = (13, 77)
THREADS = (1, 2)
ROUNDS = 60


@dataclass(frozen=True)
class Student:
    """A trained student, the name of its size, and its figures on held-back prompts."""

    size: str
    network: Network
    figures: dict[str, float]


@dataclass(frozen=True)
class Row:
    """A size, the median time of ONNX Runtime in milliseconds by the number of tokens and threads, and the figures."""

    size: str
    times: dict[str, float]
    figures: dict[str, float]


def size_curve(students: Sequence[Student]) -> list[Row]:
    """Time the exported students in turns, batches of `BATCH` samples."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.onnx" for index in range(len(students))]
        for student, path in zip(students, paths, strict=True):
            export_onnx(student.network, path)
        times = time_graphs(paths)
    return [Row(student.size, timed, student.figures) for student, timed in zip(students, times, strict=True)]


def time_graphs(paths: Sequence[Path]) -> list[dict[str, float]]:
    """Median milliseconds of each graph, `{tokens}_tokens_{threads}_threads` to time; the graphs take turns."""
    results: list[dict[str, float]] = [{} for _ in paths]
    for threads in THREADS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        sessions = [onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths]
        for tokens in TOKENS:
            feeds = [_feed(session, tokens) for session in sessions]
            taken: list[list[float]] = [[] for _ in paths]
            for turn in Progress(f"time {tokens} tokens, {threads} threads", 0, ROUNDS, unit="round"):
                for index, (session, feed) in enumerate(zip(sessions, feeds, strict=True)):
                    start = time.perf_counter()
                    session.run(None, feed)
                    if turn >= ROUNDS // 4:  # the first ones warm up
                        taken[index].append((time.perf_counter() - start) * 1000)
            for result, own in zip(results, taken, strict=True):
                result[f"{tokens}_tokens_{threads}_threads"] = round(statistics.median(own), 3)
    return results


def write_curve(path: Path, rows: Sequence[Row]) -> str:
    """Write the rows as JSON to `path`, and as a table and a plot beside it; returns the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json([asdict(row) for row in rows]))
    table = size_table(rows)
    path.with_suffix(".md").write_text(f"{table}\n\n![Time against accuracy]({path.with_suffix('.png').name})\n")
    _plot(path.with_suffix(".png"), rows)
    return table


def size_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table: milliseconds, then the figures on held-back prompts."""
    times, figures = list(rows[0].times), list(rows[0].figures)
    heads = [f"ms, {name.replace('_', ' ')}" for name in times]
    lines = [["size", *heads, *figures]]
    for row in rows:
        cells = [*(f"{row.times[name]:.2f}" for name in times), *(f"{row.figures[name]:.4f}" for name in figures)]
        lines.append([row.size, *cells])
    return markdown_table(lines)


def held_back_figures(checkpoint: Path) -> dict[str, float]:
    """The figures on held-back prompts of the step whose weights were kept, from the log beside a checkpoint."""
    saved = require_checkpoint(checkpoint, "probe", "distill")
    step = saved.get("kept", saved)["step"]
    lines = [json.loads(line) for line in checkpoint.with_suffix(".log.jsonl").read_text().splitlines()]
    chosen = next(line for line in reversed(lines) if line.get("step") == step)
    return {name: value for name, value in chosen.items() if name not in ("step", "loss")}


def _feed(session: onnxruntime.InferenceSession, tokens: int) -> dict[str, np.ndarray]:
    """Random inputs that look like attention."""
    rng = np.random.default_rng(0)
    feed = {}
    for entry in session.get_inputs():
        shape = [{"batch": BATCH, "tokens": tokens}.get(side, side) for side in entry.shape]
        if entry.name == "attention":
            feed[entry.name] = (rng.random(shape) / tokens).astype(np.float16)
        elif entry.name == "token_mask":
            feed[entry.name] = np.ones(shape, np.uint8)
        elif entry.name == "timestep":
            feed[entry.name] = np.full(shape, 778.639, np.float32)
        else:
            kind = {"tensor(float16)": "F16", "tensor(float)": "F32", "tensor(int64)": "I64"}[entry.type]
            feed[entry.name] = np.ones(shape, DTYPES[kind])
    return feed


def _plot(path: Path, rows: Sequence[Row]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    shown = [name for name in rows[0].figures if name.startswith("srcc@")]
    at = next(iter(rows[0].times))
    for name in shown:
        axes.plot([row.times[at] for row in rows], [row.figures[name] for row in rows], marker="o", label=name)
    for row in rows:
        axes.annotate(row.size, (row.times[at], row.figures[shown[0]]), textcoords="offset points", xytext=(4, 4))
    axes.set(xlabel=f"milliseconds, batch {BATCH}, {at.replace('_', ' ')}", ylabel="SRCC on held-back prompts")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
