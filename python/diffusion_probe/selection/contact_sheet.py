"""A contact sheet: one PNG of many images, each with lines of text below it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SMALL, LARGE = 128, 256  # sides of a tile in pixels; that of a small image is enlarged
GAP = 8
COMPRESSION = 1  # of zlib, 0 to 9
LINE_HEIGHT, FONT_SIZE, CHARACTER_WIDTH = 12, 10, 6
GREY, FADE = (221, 221, 221), 0.6  # of a tile without an image; of an image towards white
FRAME = (0, 128, 0)


@dataclass(frozen=True)
class Tile:
    """An image and what is written below it."""

    image: Image.Image | None  # None: a grey tile
    lines: Sequence[str] = ()
    faded: bool = False
    framed: bool = False


def write_contact_sheet(path: Path, tiles: Sequence[Tile], columns: int, title: str = "") -> None:
    """Write the tiles as one PNG, in rows of `columns`, below the title. Lines are wrapped to the tile's width."""
    columns = min(columns, len(tiles))
    sizes = [tile.image.size for tile in tiles if tile.image is not None]
    width, height = max(sizes, default=(SMALL, SMALL))
    side = SMALL if max(width, height) <= SMALL else LARGE
    scale = side / max(width, height)
    size = round(width * scale), round(height * scale)
    texts = [[part for line in tile.lines for part in _wrapped(line, size[0])] for tile in tiles]
    heading = _wrapped(title, columns * (size[0] + GAP))
    top = GAP + len(heading) * LINE_HEIGHT if heading else 0
    row_height = size[1] + max(map(len, texts)) * LINE_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * (size[0] + GAP), top + -(-len(tiles) // columns) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(FONT_SIZE)
    _write(draw, 0, 0, heading)
    for index, (tile, lines) in enumerate(zip(tiles, texts, strict=True)):
        x, y = index % columns * (size[0] + GAP), top + index // columns * row_height
        sheet.paste(_picture(tile, size), (x, y))
        if tile.framed:
            draw.rectangle((x, y, x + size[0] - 1, y + size[1] - 1), outline=FRAME, width=3)
        _write(draw, x, y + size[1], lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, compress_level=COMPRESSION)


def _picture(tile: Tile, size: tuple[int, int]) -> Image.Image:
    if tile.image is None:
        return Image.new("RGB", size, GREY)
    enlarged = tile.image.width < size[0]
    picture = tile.image.convert("RGB").resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS)
    return Image.blend(picture, Image.new("RGB", size, "white"), FADE) if tile.faded else picture


def _write(draw: ImageDraw.ImageDraw, x: int, y: int, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        draw.text((x, y + number * LINE_HEIGHT), line, fill="black")


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(1, width // CHARACTER_WIDTH))
