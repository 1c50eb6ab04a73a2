"""A file of prompts is divided into splits."""

from pathlib import Path

import pytest

from diffusion_probe.data.prompts import SPLIT_PERCENT, prompt_lines, read_prompts, split_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"a picture of thing {number}\n\n" for number in range(2000)) + "A  Picture of thing 7\n")
    return path


def test_splits_share_no_prompt_and_have_their_sizes(file: Path) -> None:
    splits = read_prompts(file)
    everything = [prompt for prompts in splits.values() for prompt in prompts]
    assert len(everything) == len(set(everything)) == 2000
    for split, percent in SPLIT_PERCENT.items():
        assert len(splits[split]) == pytest.approx(20 * percent, rel=0.15)


def test_the_split_of_a_prompt_does_not_depend_on_the_rest_of_the_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(reversed(file.read_text().splitlines()[:200])))
    whole, part = read_prompts(file), read_prompts(other)
    for split in SPLIT_PERCENT:
        assert set(part[split]) <= set(whole[split])
    assert split_of("A cat") == split_of(" a   CAT ")


def test_a_repetition_keeps_the_place_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a cat\n\ntwo dogs\nA  cat\n")
    assert prompt_lines(path) == ["a cat", "two dogs"]


def test_an_empty_split_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("a cat\n")
    with pytest.raises(ValueError, match="none of the 1 prompts"):
        read_prompts(path)
    with pytest.raises(FileNotFoundError):
        read_prompts(tmp_path / "nowhere.txt")
