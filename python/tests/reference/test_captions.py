"""Captions are written as English in every wording and parsed back, and old captions keep their text, token ids and split."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.reference.captions import PLAIN, Caption, Phrase, Wording, paraphrase, paraphrases, parse, tokenize
from diffusion_probe.reference.vocabulary import (
    BACKGROUNDS,
    BEGIN_ID,
    MAX_TOKENS,
    PARAPHRASE_WORDS,
    PICTOGRAMS,
    PLURALS,
    TOKEN_IDS,
    VOCABULARY,
)

ROOT = Path(__file__).parents[3]
CASES = json.loads((ROOT / "test" / "demo" / "world" / "captions.json").read_text())  # the grammar in TypeScript has them too
CAT_LEFT_OF_KEYS = Caption((Phrase("cat", 1), Phrase("key", 2), Phrase("owl", 1)), "left", "grey")


@st.composite
def captions(draw: st.DrawFn) -> Caption:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda counts: sum(counts) <= 4))
    names = draw(st.lists(st.sampled_from(PICTOGRAMS), min_size=len(counts), max_size=len(counts), unique=True))
    relation = draw(st.sampled_from([None, "left", "above"])) if len(counts) > 1 else None
    phrases = tuple(Phrase(name, count) for name, count in zip(names, counts, strict=True))
    return Caption(phrases, relation, draw(st.sampled_from(sorted(BACKGROUNDS))))


@given(captions())
def test_a_caption_survives_writing_and_parsing_in_every_wording(caption: Caption) -> None:
    for wording in caption.wordings():
        assert parse(caption.text(wording)) == caption


@given(captions())
def test_every_paraphrase_has_the_key_and_the_length_of_its_caption(caption: Caption) -> None:
    texts = paraphrases(caption)
    assert texts[0] == caption.text()
    assert len(set(texts)) == len(texts) >= 4
    for text in texts:
        assert parse(text).key() == caption.key()
        ids = tokenize(text)
        assert len(ids) == len(tokenize(caption.text())) <= MAX_TOKENS
        assert [BEGIN_ID, *(TOKEN_IDS[word] for word in text.split())] == ids


@given(captions())
def test_the_random_paraphrase_of_a_meaning_is_always_the_same(caption: Caption) -> None:
    assert paraphrase(caption) == paraphrase(caption)
    assert parse(paraphrase(caption)).key() == caption.key()


@pytest.mark.parametrize("case", CASES["captions"], ids=lambda case: case["plain"])
def test_the_paraphrases_are_those_of_the_shared_cases(case: dict) -> None:
    assert paraphrases(parse(case["plain"])) == case["paraphrases"]


@pytest.mark.parametrize("case", CASES["read"], ids=lambda case: case["text"])
def test_a_text_is_read_as_its_plain_wording(case: dict) -> None:
    assert parse(case["text"]).text() == case["plain"]


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["text"])
def test_text_outside_the_grammar_is_refused_with_the_reason(case: dict) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the message is compared below)
        parse(case["text"])
    assert case["message"] in str(refusal.value)


def test_old_captions_keep_their_text_and_token_ids() -> None:
    assert CAT_LEFT_OF_KEYS.text() == "a cat left of two keys and an owl on a grey background"
    assert tokenize(CAT_LEFT_OF_KEYS.text()) == [1, 2, 26, 6, 7, 4, 58, 9, 3, 37, 10, 2, 16, 11]
    assert tokenize("three umbrellas on a white background") == [1, 5, 64, 10, 2, 17, 11]


def test_the_words_of_paraphrases_come_last() -> None:
    assert VOCABULARY[-4:] == ("umbrellas", "right", "below", "the")
    assert len(VOCABULARY) == 68
    assert all(known in VOCABULARY[:-3] for known in PARAPHRASE_WORDS.values())


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


def test_only_a_relation_can_be_mirrored() -> None:
    with pytest.raises(ValueError, match="has no relation"):
        Caption((Phrase("cat", 1), Phrase("dog", 1)), None, "blue").text(Wording(mirrored=True))
    assert CAT_LEFT_OF_KEYS.wordings()[0] == PLAIN


def test_paraphrases_share_a_key_and_different_captions_do_not() -> None:
    cat, dog, owl = Phrase("cat", 1), Phrase("dog", 1), Phrase("owl", 1)
    assert Caption((cat, dog, owl), None, "blue").key() == Caption((owl, cat, dog), None, "blue").key()
    assert Caption((cat, dog), "left", "blue").key() != Caption((dog, cat), "left", "blue").key()
    assert Caption((cat, dog), None, "blue").key() != Caption((cat, dog), None, "pink").key()
    assert Caption((cat, dog), None, "blue").key() != Caption((cat, Phrase("dog", 2)), None, "blue").key()


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="'zebra'"):
        tokenize("a zebra on a blue background")
