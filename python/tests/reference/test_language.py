"""Captions: English out, the same request back in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion_probe.reference.language import (
    BACKGROUNDS,
    BEGIN_ID,
    MAX_TOKENS,
    PICTOGRAMS,
    PLURALS,
    VOCABULARY,
    Group,
    Request,
    parse,
    tokenize,
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3).filter(lambda counts: sum(counts) <= 4))
    names = draw(st.lists(st.sampled_from(PICTOGRAMS), min_size=len(counts), max_size=len(counts), unique=True))
    relation = draw(st.sampled_from([None, "left", "above"])) if len(counts) > 1 else None
    groups = tuple(Group(name, count) for name, count in zip(names, counts, strict=True))
    return Request(groups, relation, draw(st.sampled_from(sorted(BACKGROUNDS))))


@given(requests())
def test_a_caption_is_read_back_as_what_it_was_made_from(request_: Request) -> None:
    assert parse(request_.caption()) == request_


@given(requests())
def test_every_caption_fits_into_the_tokens(request_: Request) -> None:
    ids = tokenize(request_.caption())
    assert ids[0] == BEGIN_ID
    assert len(ids) <= MAX_TOKENS
    assert [VOCABULARY[index] for index in ids[1:]] == request_.caption().split()


def test_there_is_enough_to_ask_for() -> None:
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
def test_the_english_is_right(name: str, count: int, phrase: str) -> None:
    assert Request((Group(name, count),), None, "blue").caption() == f"{phrase} on a blue background"


def test_plurals_differ_from_each_other() -> None:
    assert len(set(PLURALS.values())) == len(PICTOGRAMS)


def test_relations_join_the_first_two_groups() -> None:
    groups = (Group("cat", 1), Group("key", 2), Group("owl", 1))
    assert Request(groups, "left", "grey").caption() == "a cat left of two keys and an owl on a grey background"
    assert Request(groups, "above", "grey").caption() == "a cat above two keys and an owl on a grey background"


def test_paraphrases_share_a_key_and_different_requests_do_not() -> None:
    cat, dog, owl = Group("cat", 1), Group("dog", 1), Group("owl", 1)
    assert Request((cat, dog, owl), None, "blue").key() == Request((owl, cat, dog), None, "blue").key()
    assert Request((cat, dog), "left", "blue").key() != Request((dog, cat), "left", "blue").key()
    assert Request((cat, dog), None, "blue").key() != Request((cat, dog), None, "pink").key()
    assert Request((cat, dog), None, "blue").key() != Request((cat, Group("dog", 2)), None, "blue").key()


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
        ("a cat and a dog left of an owl on a blue background", "first two groups"),
    ],
)
def test_what_is_no_caption_is_refused_with_the_reason(caption: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(caption)


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="'zebra'"):
        tokenize("a zebra on a blue background")
