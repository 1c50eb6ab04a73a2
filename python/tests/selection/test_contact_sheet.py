"""A contact sheet shows every tile in its place, with its text below it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion_probe.selection.contact_sheet import Tile, write_contact_sheet

RED = (200, 0, 0)


@pytest.mark.parametrize(("size", "shown"), [((64, 64), (128, 128)), ((512, 256), (256, 128))], ids=["small", "large"])
def test_tiles_are_scaled_framed_and_faded(size: tuple[int, int], shown: tuple[int, int], tmp_path: Path) -> None:
    image = Image.new("RGB", size, RED)
    tiles = [Tile(image, ["one"], framed=True), Tile(image, ["two"], faded=True), Tile(None, ["three"])]
    write_contact_sheet(tmp_path / "sheet.png", tiles, 2, "a title")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    is_red = (sheet == RED).all(axis=2)
    rows, columns = np.flatnonzero(is_red.any(axis=1)), np.flatnonzero(is_red.any(axis=0))
    assert (columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1) == (shown[0] - 6, shown[1] - 6)  # within the frame
    top, left = rows[0] - 3, columns[0] - 3
    assert (sheet[top, left] == (0, 128, 0)).all()
    faded = sheet[top + 10, left + shown[0] + 18]
    assert faded[0] > RED[0]
    assert faded[1] == faded[2] > 100
    grey = sheet[top + shown[1] + 12 + 8 + 10, left + 10]
    assert len(set(grey.tolist())) == 1
    assert (sheet[:top] < 128).any()  # the title
    below = sheet[top + shown[1] : top + shown[1] + 12]
    assert (below[:, : shown[0]] < 128).any()
    assert (below[:, shown[0] + 8 :] < 128).any()


def test_long_lines_are_wrapped(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 64), RED)
    heights = []
    for text in ("a cat", "a cat left of two keys and three umbrellas on a blue background"):
        write_contact_sheet(tmp_path / "sheet.png", [Tile(image, [text])], 4)
        heights.append(Image.open(tmp_path / "sheet.png").height)
    assert heights[1] > heights[0]
