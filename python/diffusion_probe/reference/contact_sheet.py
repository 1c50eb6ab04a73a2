"""Writes a contact sheet: a PNG of many small images, each with up to three lines of text below it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SCALE = 2
COLUMNS = 10
TEXT_HEIGHT = 36
LINE_CHARACTERS = 22


def write_contact_sheet(path: Path, images: Sequence[np.ndarray], labels: Sequence[str], columns: int = COLUMNS) -> None:
    """Write square images, uint8 [size, size, 3], with their labels as one PNG."""
    side = images[0].shape[0] * SCALE
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + 8), rows * (side + TEXT_HEIGHT)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (image, text) in enumerate(zip(images, labels, strict=True)):
        x, y = index % columns * (side + 8), index // columns * (side + TEXT_HEIGHT)
        sheet.paste(Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST), (x, y))
        for line in range(3):
            words = text[line * LINE_CHARACTERS : (line + 1) * LINE_CHARACTERS]
            draw.text((x, y + side + 11 * line), words, fill="black", font_size=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
