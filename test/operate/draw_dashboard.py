"""Draws a Grafana dashboard: draw_dashboard.py <picture.png>, the dashboard with the results of its queries on stdin."""

import json
import math
import sys
from datetime import UTC, datetime
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image

COLUMN_PX, ROW_PX, GAP_PX, DPI = 66, 36, 8, 100
PAGE, PANEL, GRID, TEXT = "#111217", "#181b1f", "#2c3235", "#d8d9da"
PALETTE = "#73bf69 #f2cc0c #5794f2 #ff9830 #f2495c #b877d9 #37872d #8ab8ff #fade2a #ffa6b0 #96d98d #1f60c4".split()
COLOURS = {"green": "#73bf69", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#f2495c", "purple": "#b877d9"}
SCALES = {
    "s": [(3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")],
    "bytes": [(2**30, " GiB"), (2**20, " MiB"), (1, " B")],
    "percentunit": [(0.01, "%")],
}
STYLE = {
    "text.color": TEXT,
    "font.size": 8.5,
    "figure.facecolor": PANEL,
    "axes.facecolor": PANEL,
    "axes.edgecolor": PANEL,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": "#8e8e99",
    "ytick.color": "#8e8e99",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def format_value(value: float, unit: str) -> str:
    """Formats a value in one of Grafana's units with about three digits."""
    scales = SCALES.get(unit, [(1e6, " M"), (1e3, " K"), (1, "")])
    size, suffix = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    suffix += {"reqps": " req/s", "ops": " ops/s"}.get(unit, unit.partition("suffix:")[2])
    return ("$" if unit == "currencyUSD" else "") + f"{float(f'{value / size:.3g}'):.6g}{suffix}"


def draw_lines(axes: plt.Axes, panel: dict, unit: str) -> None:
    series = [one for target in panel["targets"] for one in target["series"]]
    fixed = {
        o["matcher"]["options"]: p["value"]["fixedColor"]
        for o in panel["fieldConfig"]["overrides"]
        for p in o["properties"]
        if p["id"] == "color"
    }
    for index, one in enumerate(series):
        times, values = zip(*[(moment(at), math.nan if value is None else value) for at, value in one["points"]], strict=True)
        colour = COLOURS[fixed[one["name"]]] if one["name"] in fixed else PALETTE[index % len(PALETTE)]
        style = "-" if index < len(PALETTE) else "--"
        axes.plot(times, values, style, marker="" if len(times) > 1 else ".", color=colour, linewidth=1.3, label=one["name"])
        axes.fill_between(times, values, color=colour, alpha=0.08, linewidth=0)
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    for threshold in [step["value"] for step in steps if step["value"] is not None]:
        axes.axhline(threshold, color=COLOURS["red"], linewidth=1, linestyle=(0, (6, 4)))
    axes.set_ylim(min(0, axes.get_ylim()[0]), axes.get_ylim()[1] if axes.dataLim.y1 > 0 else 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: format_value(value, unit))
    longest = max(len(one["name"]) for one in series)
    columns = max(1, int(axes.figure.bbox.width / (6.2 * longest + 50)))
    axes.figure.legend(
        loc="outside lower left", ncols=columns, labelcolor=TEXT, handlelength=1, columnspacing=1.2, labelspacing=0.2
    )


def draw_heatmap(axes: plt.Axes, panel: dict, unit: str) -> None:
    buckets = sorted(panel["targets"][0]["series"], key=lambda one: math.inf if one["name"] == "+Inf" else float(one["name"]))
    times = sorted({at for one in buckets for at, _ in one["points"]})
    cumulative = np.array([[dict(map(tuple, one["points"])).get(at) or 0 for at in times] for one in buckets])
    counts = np.diff(cumulative, axis=0, prepend=0)
    used = np.flatnonzero(counts.sum(axis=1))
    rows = range(max(0, used[0] - 1), min(len(buckets) - 1, used[-1] + 1) + 1)
    shown = np.ma.masked_less_equal(counts[rows.start : rows.stop], 0)
    axes.pcolormesh([moment(at) for at in times], rows, shown, cmap="viridis", shading="nearest", rasterized=True)
    axes.grid(visible=False)
    labelled = rows[:: math.ceil(len(rows) / 7)]
    bounds = [buckets[row]["name"] for row in labelled]
    # The bound of a bucket is the upper edge of its cells.
    axes.set_yticks(
        [row + 0.5 for row in labelled], [name if name == "+Inf" else format_value(float(name), unit) for name in bounds]
    )


def draw_bars(axes: plt.Axes, panel: dict, unit: str) -> None:
    names, values = zip(
        *[(one["name"], one["points"][0][1]) for target in panel["targets"] for one in target["series"]], strict=True
    )
    axes.bar(names, [max(values)] * len(values), color=GRID)
    axes.bar_label(
        axes.bar(names, values, color=PALETTE[0]), [format_value(value, unit) for value in values], color=TEXT, padding=2
    )
    axes.grid(visible=False)
    axes.set_yticks([])


def draw_table(axes: plt.Axes, panel: dict, _unit: str) -> None:
    """Joins the rows of all targets by their labels."""
    units = {p[0]["value"]: p[1]["value"] for p in (override["properties"] for override in panel["fieldConfig"]["overrides"])}
    heads = [target["legendFormat"] for target in panel["targets"]]
    rows: dict[tuple, dict[str, str]] = {}
    for head, target in zip(heads, panel["targets"], strict=True):
        for one in target["series"]:
            row = rows.setdefault(tuple(sorted(one["labels"].items())), {})
            value = one["points"][0][1]
            row[head] = "-" if value is None else format_value(value, units[head])
    heads = [name for name, _ in next(iter(rows))] + heads
    cells = [[(dict(labels) | values).get(head, "-") for head in heads] for labels, values in rows.items()]
    widths = np.array([max(map(len, column)) + 3 for column in zip(heads, *cells, strict=True)])
    table = axes.table(
        cells,
        colLabels=heads,
        colWidths=widths / widths.sum(),
        cellLoc="left",
        colLoc="left",
        loc="upper left",
        edges="horizontal",
    )
    for (row, _), cell in table.get_celld().items():
        cell.set(edgecolor=GRID, height=28 / axes.figure.bbox.height)
        cell.set_text_props(color="#6e9fff" if row == 0 else TEXT)
    axes.set_axis_off()


def draw_panel(panel: dict, dashboard: dict) -> Image.Image:
    width, height = panel["gridPos"]["w"] * COLUMN_PX - GAP_PX, panel["gridPos"]["h"] * ROW_PX - GAP_PX
    figure = plt.figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
    if panel["type"] == "row":
        figure.set_facecolor(PAGE)
        figure.text(6 / width, 0.5, panel["title"], fontsize=11.5, weight="bold", va="center")
    else:
        figure.suptitle(panel["title"], x=10 / width, ha="left", fontsize=10)
        unit = panel["fieldConfig"]["defaults"]["unit"]
        if panel["type"] == "stat":
            value = panel["targets"][0]["series"][0]["points"][0][1]
            figure.text(0.5, 0.4, format_value(value, unit), fontsize=24, weight="bold", ha="center", va="center")
        else:
            axes = figure.add_subplot()
            if panel["type"] in ("timeseries", "heatmap"):
                axes.set_xlim(moment(dashboard["from"]), moment(dashboard["to"]))
                axes.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=5))
                axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M:%S"))
            draw = {"timeseries": draw_lines, "heatmap": draw_heatmap, "bargauge": draw_bars, "table": draw_table}[panel["type"]]
            draw(axes, panel, panel["options"]["yAxis"]["unit"] if panel["type"] == "heatmap" else unit)
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    plt.close(figure)
    return image


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def main(target: Path) -> None:
    dashboard = json.load(sys.stdin)
    plt.rcParams.update(STYLE)
    title = f"{dashboard['title']}, last {round((dashboard['to'] - dashboard['from']) / 60)} minutes"
    panels = [{"type": "row", "title": title, "gridPos": {"x": 0, "y": -1, "w": 24, "h": 1}}, *dashboard["panels"]]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 1
    page = Image.new("RGB", (24 * COLUMN_PX + GAP_PX, rows * ROW_PX + GAP_PX), PAGE)
    for panel in panels:
        place = panel["gridPos"]
        page.paste(draw_panel(panel, dashboard), (GAP_PX + place["x"] * COLUMN_PX, GAP_PX + (place["y"] + 1) * ROW_PX))
    # 255 colours are enough and keep the file small.
    page.quantize(255, dither=Image.Dither.NONE).save(target, optimize=True)


main(Path(sys.argv[1]))
