"""Rewrites by the grammar keep the meaning."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_probe.reference.captions import paraphrases, parse
from diffusion_probe.reference.rewriting import GrammarRewriter, require_same_meaning
from diffusion_probe.reference.splits import data_captions
from diffusion_probe.reference.wordings import caption_wordings

CAPTIONS = data_captions("calibration", 40)


@settings(deadline=None)
@given(st.sampled_from(CAPTIONS), st.integers(1, 30), st.data())
def test_rewrites_are_other_texts_of_the_same_meaning(caption, count: int, data) -> None:
    text = data.draw(st.sampled_from(paraphrases(caption)))
    rewrites = GrammarRewriter()(text, count)
    assert len(rewrites) == len(set(rewrites)) == min(count, len(paraphrases(caption)) - 1)
    assert text not in rewrites
    for rewrite in rewrites:
        require_same_meaning(text, rewrite)
    assert GrammarRewriter()(text, count) == rewrites
    assert list(GrammarRewriter()(text, count + 1))[:count] == list(rewrites)


@pytest.mark.parametrize(
    ("rewrite", "message"),
    [
        ("two keys left of a cat on a blue background", "another meaning"),
        ("a cat left of two keys on a green background", "another meaning"),
        ("a cat and two keys on a blue background", "another meaning"),
        ("a picture of a cat", "a caption begins or ends in"),
    ],
)
def test_another_meaning_is_refused(rewrite: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_same_meaning("a cat left of two keys on a blue background", rewrite)


def test_the_wordings_of_a_split_begin_with_the_plain_text() -> None:
    wordings = caption_wordings("calibration", 40, 6)
    assert [own[0] for own in wordings] == [caption.text() for caption in CAPTIONS]
    assert {len(own) for own in wordings} == {4, 7}
    assert all(parse(text).key() == parse(own[0]).key() for own in wordings for text in own)
