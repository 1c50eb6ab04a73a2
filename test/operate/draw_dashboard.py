"""Draws a Grafana dashboard: draw_dashboard.py <picture.png>. Stdin holds its JSON with the results of all queries."""

import itertools
import json
import math
import sys

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

plt.switch_backend("Agg")
COLUMN_PX, ROW_PX, GAP_PX, DPI = 66, 36, 8, 100
PAGE, PANEL, GRID, TEXT, HEAD = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#6e9fff"
COLOURS = {"green": "#73bf69", "yellow": "#f2cc0c", "blue": "#5794f2", "orange": "#ff9830", "red": "#f2495c", "purple": "#b877d9"}
LINES = [*COLOURS.values(), "#37872d", "#8ab8ff", "#fade2a", "#ffa6b0", "#96d98d", "#1f60c4"]
SCALES = {
    "s": [(3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")],
    "bytes": [(2**30, " GiB"), (2**20, " MiB"), (1, " B")],
    "percentunit": [(0.01, "%")],
    "h": [(1, " h"), (1 / 60, " min"), (1 / 3600, " s")],
}


def format_value(value: float, unit: str) -> str:
    """Formats a value in one of Grafana's units, with three digits."""
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    scales = SCALES.get(unit, [(1e6, " M"), (1e3, " K"), (1, "")])
    size, suffix = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    number = f"{'$' if unit == 'currencyUSD' else ''}{float(f'{value / size:.3g}'):.6g}{suffix}"
    return number + (" req/s" if unit == "reqps" else unit.partition("suffix:")[2])


def colour_of(value: float, thresholds: dict | None) -> str:
    """The colour of the highest step that the value reaches."""
    reached = [TEXT] + [
        COLOURS[one["color"]] for one in (thresholds or {"steps": []})["steps"] if value >= (one["value"] or -math.inf)
    ]
    return reached[-1]


def draw_lines(axes: plt.Axes, panel: dict, series: list[dict], unit: str) -> None:
    overrides, defaults = panel["fieldConfig"]["overrides"], panel["fieldConfig"]["defaults"]
    fixed = {one["matcher"]["options"]: COLOURS[one["properties"][0]["value"]["fixedColor"]] for one in overrides}
    for index, one in enumerate(series):
        style = {"color": fixed.get(one["name"], LINES[index % len(LINES)]), "linestyle": "-" if index < len(LINES) else "--"}
        axes.plot(one["minutes"], one["values"], linewidth=1.3, label=one["name"], **style)
        axes.fill_between(one["minutes"], one["values"], color=style["color"], alpha=0.08, linewidth=0)
    steps = defaults.get("thresholds", {"steps": []})["steps"]
    for below, step in itertools.pairwise(steps):
        colour = below["color"] if step["color"] == "green" else step["color"]
        axes.axhline(step["value"], color=COLOURS[colour], linewidth=1, linestyle="--")
    for event in dashboard["annotations"]["list"]:
        for minute in event["minutes"]:
            axes.axvline(minute, color=COLOURS[event["iconColor"]], linewidth=1, linestyle=":")
    low, high = axes.get_ylim()
    axes.set_ylim(min(0, low) if axes.dataLim.y0 < 0 else 0, high if axes.dataLim.y1 > 0 or axes.dataLim.y0 < 0 else 1)
    minutes = (dashboard["to"] - dashboard["from"]) / 60
    axes.set_xlim(-0.03 * minutes, 1.01 * minutes)
    axes.xaxis.set_major_formatter("{x:g} min")
    axes.locator_params(nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _: format_value(value, unit))
    columns = max(1, int(axes.figure.bbox.width / (6.2 * max(len(one["name"]) for one in series) + 50)))
    axes.figure.legend(loc="outside lower left", ncols=columns, frameon=False, handlelength=1, labelspacing=0.2)


def draw_heatmap(axes: plt.Axes, _panel: dict, series: list[dict], unit: str) -> None:
    buckets = sorted(series, key=lambda one: float(one["name"]))
    minutes = sorted({minute for one in buckets for minute in one["minutes"]})
    at = [dict(zip(one["minutes"], one["values"], strict=True)) for one in buckets]
    counts = np.diff([[np.nan_to_num(values.get(minute, 0)) for minute in minutes] for values in at], axis=0, prepend=0)
    used = np.flatnonzero(counts.sum(axis=1))
    rows = range(max(0, used[0] - 1), min(len(buckets), used[-1] + 2))
    shown = np.ma.masked_less_equal(counts[rows.start : rows.stop], 0)
    axes.pcolormesh(minutes, rows, shown, cmap="viridis", shading="nearest", rasterized=True)
    axes.xaxis.set_major_formatter("{x:g} min")
    labelled = rows[:: math.ceil(len(rows) / 7)]
    bounds = [float(buckets[row]["name"]) for row in labelled]
    names = ["+Inf" if bound == math.inf else format_value(bound, unit) for bound in bounds]
    # The bound of a bucket is the upper edge of its cells.
    axes.set_yticks([row + 0.5 for row in labelled], names)
    axes.grid(visible=False)


def draw_bars(axes: plt.Axes, _panel: dict, series: list[dict], unit: str) -> None:
    names, values = [one["name"] for one in series], [one["values"][-1] for one in series]
    axes.bar(names, [max(values)] * len(values), color=GRID)
    axes.bar_label(axes.bar(names, values, color=LINES[0]), [format_value(value, unit) for value in values], padding=2)
    axes.grid(visible=False)
    axes.set_yticks([])


def draw_table(axes: plt.Axes, panel: dict, _series: list[dict], _unit: str) -> None:
    """Joins the rows of all targets by their labels."""
    rows: dict[tuple, dict[str, str | float]] = {}
    for target in panel["targets"]:
        for one in target["series"]:
            row = rows.setdefault(tuple(sorted(one["labels"].items())), dict(one["labels"]))
            row[target["legendFormat"]] = one["values"][-1]
    legends = [target["legendFormat"] for target in panel["targets"]]
    overrides = panel["fieldConfig"]["overrides"]
    properties = {
        legend: {one["id"]: one["value"] for one in override["properties"]}
        for legend, override in zip(legends, overrides, strict=True)
    }
    labels = sorted({name for target in panel["targets"] for one in target["series"] for name in one["labels"]})
    heads = labels + legends
    ordered = list(rows.values())
    for order in reversed(panel["options"]["sortBy"]):
        ordered.sort(key=lambda row: row.get(order["displayName"], -math.inf), reverse=order["desc"])
    ordered = ordered[: int((axes.figure.bbox.height - 60) // 28)]

    def text_of(row: dict, head: str) -> str:
        value = row.get(head, "-")
        if isinstance(value, str):
            return value
        texts = {key: one["text"] for mapping in properties[head].get("mappings", []) for key, one in mapping["options"].items()}
        return texts.get(f"{value:g}", format_value(value, properties[head]["unit"]))

    cells = [[text_of(row, head) for head in heads] for row in ordered]
    widths = np.array([max(map(len, column)) + 3 for column in zip(heads, *cells, strict=True)])
    style = {"cellLoc": "left", "colLoc": "left", "loc": "upper left", "edges": "horizontal"}
    table = axes.table(cells, colLabels=heads, colWidths=widths / widths.sum(), **style)
    table.auto_set_font_size(False)
    for (row, column), cell in table.get_celld().items():
        cell.set(edgecolor=GRID, height=28 / axes.figure.bbox.height)
        value = ordered[row - 1].get(heads[column]) if row > 0 else None
        colour = colour_of(value, properties[heads[column]].get("thresholds")) if isinstance(value, float) else TEXT
        cell.set_text_props(color=colour if row > 0 else HEAD, fontsize=8)
    axes.set_axis_off()


DRAW = {"timeseries": draw_lines, "heatmap": draw_heatmap, "bargauge": draw_bars, "table": draw_table}


def draw_panel(panel: dict, start: float) -> Image.Image:
    kind, width, height = panel["type"], panel["gridPos"]["w"] * COLUMN_PX - GAP_PX, panel["gridPos"]["h"] * ROW_PX - GAP_PX
    figure = plt.figure(figsize=(width / DPI, height / DPI), layout="constrained", facecolor=PAGE if kind == "row" else PANEL)
    series = [one for target in panel.get("targets", []) for one in target["series"]]
    for one in series:
        times, one["values"] = np.array(one["points"], dtype=float).T
        one["minutes"] = (times - start) / 60
    figure.suptitle(panel["title"], x=10 / width, ha="left", fontsize=10, weight="bold" if kind == "row" else "normal")
    if kind != "row":
        unit = panel["options"].get("yAxis", panel["fieldConfig"]["defaults"])["unit"]
        if kind == "stat":
            value = series[0]["values"][-1]
            colour = colour_of(value, panel["fieldConfig"]["defaults"].get("thresholds"))
            style = {"fontsize": 24, "weight": "bold", "ha": "center", "va": "center", "color": colour}
            figure.text(0.5, 0.4, format_value(value, unit), **style)
        else:
            DRAW[kind](figure.add_subplot(), panel, series, unit)
    figure.canvas.draw()
    image = Image.fromarray(np.array(figure.canvas.buffer_rgba()))
    plt.close(figure)
    return image


plt.rc("axes", facecolor=PANEL, edgecolor=PANEL, grid=True, axisbelow=True)
plt.rc(("xtick", "ytick"), color=TEXT)
plt.rc(("xtick.major", "ytick.major"), size=0)
plt.rcParams.update({"font.size": 8.5, "text.color": TEXT, "grid.color": GRID, "figure.dpi": DPI})
dashboard = json.load(sys.stdin)
for event in dashboard["annotations"]["list"]:
    event["minutes"] = [(start - dashboard["from"]) / 60 for start in event["starts"]]
rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
page = Image.new("RGB", (24 * COLUMN_PX + GAP_PX, rows * ROW_PX + GAP_PX), PAGE)
for panel in dashboard["panels"]:
    place = (GAP_PX + panel["gridPos"]["x"] * COLUMN_PX, GAP_PX + panel["gridPos"]["y"] * ROW_PX)
    page.paste(draw_panel(panel, dashboard["from"]), place)
# 255 colours are enough and keep the file small.
page.quantize(255, dither=Image.Dither.NONE).save(sys.argv[1], optimize=True)
