"""Captions are written as English and parsed back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.reference.captions import (
    BACKGROUNDS,
    BEGIN_ID,
    MAX_TOKENS,
    PICTOGRAMS,
    PLURALS,
    VOCABULARY,
    Caption,
    Phrase,
    parse,
    tokenize,
)


@st.composite
def captions(draw: st.DrawFn) -> Caption:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda counts: sum(counts) <= 4))
    names = draw(st.lists(st.sampled_from(PICTOGRAMS), min_size=len(counts), max_size=len(counts), unique=True))
    relation = draw(st.sampled_from([None, "left", "above"])) if len(counts) > 1 else None
    phrases = tuple(Phrase(name, count) for name, count in zip(names, counts, strict=True))
    return Caption(phrases, relation, draw(st.sampled_from(sorted(BACKGROUNDS))))


@given(captions())
def test_a_caption_survives_writing_and_parsing(caption: Caption) -> None:
    assert parse(caption.text()) == caption


@given(captions())
def test_every_caption_fits_into_the_longest_token_sequence(caption: Caption) -> None:
    ids = tokenize(caption.text())
    assert ids[0] == BEGIN_ID
    assert len(ids) <= MAX_TOKENS
    assert [VOCABULARY[index] for index in ids[1:]] == caption.text().split()


def test_the_vocabulary_is_large_enough_and_has_no_duplicates() -> None:
    assert len(PICTOGRAMS) >= 24
    assert len(BACKGROUNDS) == 6
    assert len(set(VOCABULARY)) == len(VOCABULARY)


@pytest.mark.parametrize(
    ("name", "count", "phrase"),
    [
        ("apple", 1, "an apple"),
        ("owl", 1, "an owl"),
        ("umbrella", 1, "an umbrella"),
        ("house", 1, "a house"),
        ("car", 2, "two cars"),
        ("butterfly", 3, "three butterflies"),
        ("cactus", 2, "two cacti"),
        ("fish", 2, "two fish"),
        ("fish", 1, "a fish"),
    ],
)
def test_articles_and_plurals_are_correct(name: str, count: int, phrase: str) -> None:
    assert Caption((Phrase(name, count),), None, "blue").text() == f"{phrase} on a blue background"


def test_plurals_differ_from_each_other() -> None:
    assert len(set(PLURALS.values())) == len(PICTOGRAMS)


def test_a_relation_joins_the_first_two_phrases() -> None:
    phrases = (Phrase("cat", 1), Phrase("key", 2), Phrase("owl", 1))
    assert Caption(phrases, "left", "grey").text() == "a cat left of two keys and an owl on a grey background"
    assert Caption(phrases, "above", "grey").text() == "a cat above two keys and an owl on a grey background"


def test_paraphrases_share_a_key_and_different_captions_do_not() -> None:
    cat, dog, owl = Phrase("cat", 1), Phrase("dog", 1), Phrase("owl", 1)
    assert Caption((cat, dog, owl), None, "blue").key() == Caption((owl, cat, dog), None, "blue").key()
    assert Caption((cat, dog), "left", "blue").key() != Caption((dog, cat), "left", "blue").key()
    assert Caption((cat, dog), None, "blue").key() != Caption((cat, dog), None, "pink").key()
    assert Caption((cat, dog), None, "blue").key() != Caption((cat, Phrase("dog", 2)), None, "blue").key()


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("a cat", "ends in"),
        ("a cat on a red background", "'red'"),
        ("an cat on a blue background", "'an' 'cat'"),
        ("two cat on a blue background", "'two' 'cat'"),
        ("a cat under a dog on a blue background", "'under'"),
        ("a cat and a cat on a blue background", "named twice"),
        ("three cats and two dogs on a blue background", "5 things"),
        ("a cat and a dog left of an owl on a blue background", "first two phrases"),
    ],
)
def test_text_outside_the_grammar_is_refused_with_the_reason(caption: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(caption)


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="'zebra'"):
        tokenize("a zebra on a blue background")
