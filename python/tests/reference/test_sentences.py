"""Captions in two or three sentences: each form means the caption that it was made of, and nothing else is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.reference.captions import Caption, paraphrases, parse
from diffusion_probe.reference.pipelines.flux import TEXT_LENGTH
from diffusion_probe.reference.sentences import caption_texts, read_caption, sentence_forms
from diffusion_probe.reference.splits import sample_caption


def captions() -> st.SearchStrategy[Caption]:
    return st.integers(0, 2**32 - 1).map(lambda seed: sample_caption(np.random.default_rng(seed)))


@given(captions())
def test_every_form_is_read_as_its_caption(caption: Caption) -> None:
    forms = sentence_forms(caption)
    assert len(set(forms)) == (4 if caption.relation else 2)
    for form in forms:
        assert read_caption(form) == caption
        assert read_caption(form.upper()) == caption
        assert form.count(".") in (2, 3)
        assert len(form.replace(".", " .").split()) + 2 <= TEXT_LENGTH


@given(captions())
def test_other_wordings_are_read_as_before(caption: Caption) -> None:
    assert all(read_caption(text).key() == caption.key() for text in paraphrases(caption))


@given(st.text(alphabet=st.sampled_from(list(" .abckeytuhsirondl")), max_size=60))
def test_other_text_is_a_value_error_or_a_caption(text: str) -> None:
    try:
        caption = read_caption(text)
    except ValueError:
        return
    assert caption.phrases


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("there is a cat.", "expected 'there is <things>. the background is <colour>.'"),
        ("there is a cat. the background is mauve.", "expected 'there is <things>"),
        ("there is a cat. there is a key. the background is blue.", "expected 'there is <things>"),
        ("there are a cat. the background is blue.", "expected 'there is', found 'there are'"),
        ("there is a cat. the cat is left of the key. the background is blue.", "expected a relation"),
        ("there is a cat left of a key. the cat is above the key. the background is blue.", "expected a relation"),
        ("there is a zebra. the background is blue.", "not a number of pictograms"),
        (".", "expected 'there is <things>"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_caption(text)


def test_the_share_of_captions_in_sentences() -> None:
    some = [sample_caption(np.random.default_rng(seed)) for seed in range(200)]
    texts = caption_texts(some, 0.5, np.random.default_rng(1))
    assert 60 < sum("." in text for text in texts) < 140
    assert caption_texts(some, 0.0, np.random.default_rng(1)) == [caption.text() for caption in some]
    assert [parse(text) for text in caption_texts(some[:3], 0.0, np.random.default_rng(1))] == some[:3]
