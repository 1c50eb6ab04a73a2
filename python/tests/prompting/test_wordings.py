"""The wordings of a study's prompts: asked once, and judged as given."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffusion_probe.prompting.wordings import judged_as_given, rewrite_prompts

from .made_up import ListRewriter

PROMPTS = ["a cat", "a dog", "a hat"]


class Asked(ListRewriter):
    """Puts words around a prompt."""

    def __call__(self, prompt: str, count: int) -> list[str]:
        super().__call__(prompt, count)
        return [f"{prompt} {word}" for word in ("here", "there", "everywhere")[:count]]


def test_every_prompt_is_asked_for_once(tmp_path: Path) -> None:
    path, rewriter = tmp_path / "out" / "wordings.json", Asked([])
    wordings, failure = rewrite_prompts(path, PROMPTS[:2], rewriter, 2, 10)
    assert (wordings, failure) == ([["a cat", "a cat here", "a cat there"], ["a dog", "a dog here", "a dog there"]], None)
    again, _ = rewrite_prompts(path, PROMPTS, rewriter, 2, 10)
    assert (again[:2], [prompt for prompt, _ in rewriter.asked]) == (wordings, PROMPTS)
    assert rewrite_prompts(path, PROMPTS[:1], rewriter, 2, 10)[0] == wordings[:1]
    with pytest.raises(ValueError, match="holds rewrites of other prompts"):
        rewrite_prompts(path, ["a key", "a dog"], rewriter, 2, 10)


def test_a_failure_leaves_the_prompt_and_a_text_belongs_to_one_prompt(tmp_path: Path) -> None:
    broken = ListRewriter(RuntimeError("no"))
    assert rewrite_prompts(tmp_path / "a.json", PROMPTS, broken, 2, 10) == ([[prompt] for prompt in PROMPTS], "RuntimeError: no")
    same = ListRewriter(["an animal", "a hat"])
    assert rewrite_prompts(tmp_path / "b.json", PROMPTS, same, 2, 10)[0] == [["a cat", "an animal"], ["a dog"], ["a hat"]]


@pytest.mark.parametrize("content", ["{", "[[]]", "[[1]]", "3"])
def test_a_file_that_is_not_valid_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "wordings.json").write_text(content)
    with pytest.raises(ValueError, match=r"wordings\.json is not valid"):
        rewrite_prompts(tmp_path / "wordings.json", PROMPTS, ListRewriter([]), 2, 10)


def test_a_rewrite_is_judged_by_the_prompt_as_given() -> None:
    seen: list[str] = []
    judge = judged_as_given(lambda images, prompts: [seen.append(prompt) or 0.0 for prompt in prompts], [["a", "b"], ["c"]])
    assert judge([None] * 3, ["b", "c", "a"]) == [0.0] * 3
    assert seen == ["a", "c", "a"]
