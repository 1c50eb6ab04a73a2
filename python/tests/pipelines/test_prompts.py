"""Prompts and their splits."""

from pathlib import Path

import pytest

from diffusion_probe.pipelines import SHARES, PromptFile
from diffusion_probe.pipelines.prompts import split_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"a picture of thing {number}\n\n" for number in range(2000)) + "A  Picture of thing 7\n")
    return path


def test_splits_share_nothing_and_have_their_shares(file: Path) -> None:
    splits = PromptFile(file).splits
    everything = [prompt for own in splits.values() for prompt in own]
    assert len(everything) == len(set(everything)) == 2000
    for split, share in SHARES.items():
        assert len(splits[split]) == pytest.approx(20 * share, rel=0.15)


def test_a_prompt_keeps_its_split_whatever_else_is_in_the_file(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(reversed(file.read_text().splitlines()[:200])))
    whole, part = PromptFile(file).splits, PromptFile(other).splits
    for split in SHARES:
        assert set(part[split]) <= set(whole[split])
    assert split_of("A cat") == split_of(" a   CAT ")


def test_too_few_prompts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("a cat\n")
    with pytest.raises(ValueError, match="none of the 1 prompts"):
        PromptFile(path)
    with pytest.raises(FileNotFoundError):
        PromptFile(tmp_path / "nowhere.txt")
