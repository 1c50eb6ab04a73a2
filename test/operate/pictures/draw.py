"""Owns how a dashboard looks as a picture, in Grafana's manner: python3 draw.py <asked.json> <picture.png>"""

import io
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
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

COLUMN_PX, ROW_PX, GAP_PX = 66, 36, 8
HEAD_PX = 64
DPI = 100
COLOURS = 255

PAGE, PANEL, FRAME = "#111217", "#181b1f", "#2c3235"
TEXT, FAINT = "#d8d9da", "#8e8e99"
# Grafana's classic palette.
LINES = [
    "#73bf69",
    "#f2cc0c",
    "#5794f2",
    "#ff9830",
    "#f2495c",
    "#b877d9",
    "#37872d",
    "#8ab8ff",
    "#fade2a",
    "#ffa6b0",
    "#96d98d",
    "#1f60c4",
]

NAMED = {"green": LINES[0], "yellow": LINES[1], "orange": LINES[3], "red": LINES[4], "purple": LINES[5]}

SI = [(1e9, " B"), (1e6, " M"), (1e3, " K"), (1, "")]
BYTES = [(2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")]
TIMES = [(86400, " d"), (3600, " h"), (60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")]
SUFFIXES = {"reqps": " req/s", "ops": " ops/s"}


def number(value: float) -> str:
    """Three digits that matter."""
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def scaled(value: float, scales: list[tuple[float, str]]) -> str:
    for size, suffix in scales:
        if abs(value) >= size:
            return number(value / size) + suffix
    return number(value / scales[-1][0]) + scales[-1][1]


def text_of(value: float | str | None, unit: str) -> str:
    """As Grafana writes a value in this unit."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit.startswith("suffix:"):
        return f"{scaled(value, SI) if abs(value) >= 1 else number(value)} {unit.removeprefix('suffix:').strip()}"
    if unit == "percentunit":
        return f"{number(100 * value)}%"
    if unit == "s":
        return "0 s" if value == 0 else scaled(value, TIMES)
    if unit == "bytes":
        return scaled(value, BYTES)
    if unit == "currencyUSD":
        return f"{'-' if value < 0 else ''}${number(abs(value))}"
    plain = scaled(value, SI) if abs(value) >= 1 else number(value)
    return plain + SUFFIXES.get(unit, "")


class Page:
    """The sheet: boxes of the dashboard's grid, measured from its top left corner."""

    def __init__(self, dashboard: dict) -> None:
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
        self.width = 24 * COLUMN_PX + 2 * GAP_PX
        self.height = HEAD_PX + rows * ROW_PX + GAP_PX
        self.figure = plt.figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor=PAGE)

    def box(self, place: dict) -> tuple[float, float, float, float]:
        """Left, top, width, height in pixels."""
        return (
            GAP_PX + place["x"] * COLUMN_PX,
            HEAD_PX + place["y"] * ROW_PX,
            place["w"] * COLUMN_PX - GAP_PX,
            place["h"] * ROW_PX - GAP_PX,
        )

    def axes(self, left: float, top: float, width: float, height: float) -> plt.Axes:
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def write(self, left: float, top: float, text: str, size: float, **style) -> None:
        style = {"color": TEXT, "va": "top", "ha": "left"} | style
        self.figure.text(left / self.width, 1 - top / self.height, text, fontsize=size, **style)


def draw_head(page: Page, dashboard: dict) -> None:
    page.write(2 * GAP_PX, 8, dashboard["title"], 14, weight="bold")
    chosen = "     ".join(f"{label}: {choice}" for label, choice in dashboard["variables"])
    page.write(2 * GAP_PX, 38, chosen, 9.5, color=FAINT)
    minutes = round((dashboard["to"] - dashboard["from"]) / 60)
    page.write(page.width - 2 * GAP_PX, 14, f"Last {minutes} minutes", 10, ha="right", color=FAINT)


def draw_panel(page: Page, panel: dict, dashboard: dict) -> None:
    left, top, width, height = page.box(panel["gridPos"])
    if panel["type"] == "row":
        page.write(left + 4, top + 6, f"▾  {panel['title']}", 11.5, weight="bold")
        return
    frame = page.axes(left, top, width, height)
    frame.set(facecolor=PANEL, xticks=[], yticks=[])
    for spine in frame.spines.values():
        spine.set_color(FRAME)
    page.write(left + 10, top + 7, panel["title"], 10)
    inside = (left + 10, top + 32, width - 20, height - 40)
    match panel["type"]:
        case "stat":
            frame.text(
                0.5,
                0.38,
                text_of(panel["values"][0]["value"], panel["unit"]),
                fontsize=24,
                color=TEXT,
                ha="center",
                va="center",
                weight="bold",
            )
        case "bargauge":
            draw_bars(page, panel, inside)
        case "timeseries":
            draw_lines(page, panel, inside, dashboard)
        case "heatmap":
            draw_heatmap(page, panel, inside, dashboard)
        case "table":
            draw_table(page, panel, inside)


def style_axes(axes: plt.Axes, dashboard: dict) -> None:
    axes.set_facecolor(PANEL)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=8, length=0, pad=4)
    axes.grid(color=FRAME, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlim(moment(dashboard["from"]), moment(dashboard["to"]))
    axes.xaxis.set_major_locator(mdates.AutoDateLocator(minticks=3, maxticks=5))
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M:%S"))


def draw_lines(page: Page, panel: dict, inside: tuple, dashboard: dict) -> None:
    left, top, width, height = inside
    legend = legend_lines([one["name"] for one in panel["series"]], width)
    values = [value for one in panel["series"] for _, value in one["points"] if value is not None]
    lowest, highest = min([0.0, *values]), max([panel.get("threshold", 0.0), *values])
    if lowest == highest:
        highest = 1.0
    locator = ByteLocator() if panel["unit"] == "bytes" else MaxNLocator(5)
    labels = [text_of(float(tick), panel["unit"]) for tick in locator.tick_values(lowest, highest)]
    margin = 16 + 5.8 * max(len(label) for label in labels)
    axes = page.axes(left + margin, top, width - margin - 8, max(20, height - 24 - 17 * len(legend)))
    style_axes(axes, dashboard)
    for index, one in enumerate(panel["series"]):
        times = [moment(at) for at, _ in one["points"]]
        heights = np.array([math.nan if value is None else value for _, value in one["points"]])
        colour = colour_of(panel, index, one["name"])
        style = "-" if index < len(LINES) else "--"
        axes.plot(times, heights, style, color=colour, linewidth=1.3, marker="" if len(times) > 1 else ".")
        axes.fill_between(times, heights, color=colour, alpha=0.08, linewidth=0)
    if "threshold" in panel:
        axes.axhline(panel["threshold"], color=NAMED["red"], linewidth=1, linestyle=(0, (6, 4)))
    room = 0.06 * (highest - lowest)
    axes.set_ylim(lowest - (room if lowest < 0 else room / 4), highest + room)
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(float(value), panel["unit"])))
    below = top + height - 17 * len(legend)
    for row, entries in enumerate(legend):
        across = left + 4
        for index, name, entry_width in entries:
            colour = colour_of(panel, index, name)
            page.write(across, below + 17 * row, "━" if index < len(LINES) else "╍", 9, color=colour)
            page.write(across + 17, below + 17 * row + 1, name, 8.5, color=TEXT)
            across += entry_width


class ByteLocator(MaxNLocator):
    """Ticks at whole mebibytes."""

    def __init__(self) -> None:
        super().__init__(5)

    def tick_values(self, vmin: float, vmax: float) -> np.ndarray:
        return 2**20 * super().tick_values(vmin / 2**20, vmax / 2**20)


def colour_of(panel: dict, index: int, name: str) -> str:
    return NAMED.get(panel["colours"].get(name, ""), LINES[index % len(LINES)])


def draw_bars(page: Page, panel: dict, inside: tuple) -> None:
    left, top, width, height = inside
    axes = page.axes(left, top + 18, width, height - 40)
    axes.set_facecolor(PANEL)
    for spine in axes.spines.values():
        spine.set_visible(False)
    names, values = zip(*[(one["name"], one["value"]) for one in panel["values"]], strict=True)
    places = range(len(names))
    axes.bar(places, [max(values)] * len(names), color=FRAME, width=0.8)
    axes.bar(places, values, color=LINES[0], width=0.8)
    for place, value in zip(places, values, strict=True):
        axes.text(place, max(values) * 1.03, text_of(value, panel["unit"]), color=TEXT, fontsize=8.5, ha="center")
    axes.set_xticks(places, names)
    axes.set_yticks([])
    axes.tick_params(colors=FAINT, labelsize=8, length=0, pad=4)


def legend_lines(names: list[str], width: float) -> list[list[tuple[int, str, float]]]:
    """The legend's entries, in as many lines as they need."""
    lines: list[list[tuple[int, str, float]]] = [[]]
    used = 0.0
    for index, name in enumerate(names):
        entry = 17 + 6.4 * len(name) + 14
        if used + entry > width and lines[-1]:
            lines.append([])
            used = 0.0
        lines[-1].append((index, name, entry))
        used += entry
    return lines


def draw_heatmap(page: Page, panel: dict, inside: tuple, dashboard: dict) -> None:
    left, top, width, height = inside
    bounds = sorted(panel["series"], key=lambda one: math.inf if one["name"] == "+Inf" else float(one["name"]))
    times = sorted({at for one in bounds for at, _ in one["points"]})
    place = {at: index for index, at in enumerate(times)}
    cumulative = np.zeros((len(bounds), len(times)))
    for row, one in enumerate(bounds):
        for at, value in one["points"]:
            cumulative[row, place[at]] = value or 0
    counts = np.diff(cumulative, axis=0, prepend=0)
    used = np.flatnonzero(counts.sum(axis=1))
    first, last = max(0, used[0] - 1), min(len(bounds) - 1, used[-1] + 1)
    shown = counts[first : last + 1]
    axes = page.axes(left + 62, top, width - 70, height - 24)
    style_axes(axes, dashboard)
    axes.grid(visible=False)
    axes.pcolormesh(
        [moment(at) for at in times],
        np.arange(len(shown)),
        np.ma.masked_less_equal(shown, 0),
        cmap="viridis",
        shading="nearest",
        rasterized=True,
    )
    axes.set_ylim(-0.5, len(shown) - 0.5)
    every = max(1, math.ceil(len(shown) / 7))
    rows = range(0, len(shown), every)
    # A cell lies between the bound below it and its own, which is its upper edge.
    names = [bounds[first + row]["name"] for row in rows]
    axes.set_yticks([row + 0.5 for row in rows])
    axes.set_yticklabels([name if name == "+Inf" else text_of(float(name), panel["unit"]) for name in names])


def draw_table(page: Page, panel: dict, inside: tuple) -> None:
    left, top, width, _ = inside
    cells = [[text_of(cell, column["unit"]) for cell, column in zip(row, panel["columns"], strict=True)] for row in panel["rows"]]
    heads = [column["name"] for column in panel["columns"]]
    needs = [max(len(text) for text in (head, *column)) + 3 for head, *column in zip(heads, *cells, strict=True)]
    room = width / 7.2
    if sum(needs) > room:
        longest = needs.index(max(needs))
        keep = int(room - sum(needs) + needs[longest]) - 4
        cells = [[*row[:longest], row[longest][:keep] + "…", *row[longest + 1 :]] for row in cells]
        needs[longest] = keep + 4
    edges = left + width * np.cumsum([0, *needs[:-1]]) / sum(needs)
    for across, head in zip(edges, heads, strict=True):
        page.write(across + 4, top + 4, head, 9.5, color="#6e9fff")
    for row, texts in enumerate(cells):
        line = page.axes(left, top + 28 + 28 * row, width, 1)
        line.set(facecolor=FRAME, xticks=[], yticks=[])
        line.set_frame_on(True)
        for spine in line.spines.values():
            spine.set_visible(False)
        for across, text in zip(edges, texts, strict=True):
            page.write(across + 4, top + 35 + 28 * row, text, 9.5)


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def main(source: Path, target: Path) -> None:
    dashboard = json.loads(source.read_text())
    page = Page(dashboard)
    draw_head(page, dashboard)
    for panel in dashboard["panels"]:
        draw_panel(page, panel, dashboard)
    drawn = io.BytesIO()
    page.figure.savefig(drawn, dpi=DPI, facecolor=PAGE)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Few colours are enough, and make a file that a repository can hold.
    picture = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(target, optimize=True)


main(Path(sys.argv[1]), Path(sys.argv[2]))
