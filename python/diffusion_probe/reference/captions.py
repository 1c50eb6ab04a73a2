"""Captions of the reference world: their grammar, their vocabulary and their token ids.

A caption names one to three pictograms with their counts, a relation between the first two or none, and a background:
"a cat left of two keys on a blue background".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

PICTOGRAMS = (
    "apple", "ball", "banana", "bell", "book", "butterfly", "cactus", "car",
    "cat", "clock", "crown", "dog", "fish", "frog", "guitar", "hat",
    "house", "key", "mushroom", "owl", "rocket", "star", "tree", "umbrella",
)  # fmt: skip
BACKGROUNDS = {
    "blue": (122, 172, 235),
    "green": (150, 205, 150),
    "yellow": (246, 226, 140),
    "pink": (246, 178, 198),
    "grey": (172, 172, 178),
    "white": (250, 250, 250),
}
NUMBERS = {2: "two", 3: "three"}
RELATIONS = {"left": ("left", "of"), "above": ("above",)}
MAX_THINGS = 4
MAX_PHRASES = 3

_IRREGULAR_PLURALS = {"butterfly": "butterflies", "cactus": "cacti", "fish": "fish"}
PLURALS = {name: _IRREGULAR_PLURALS.get(name, name + "s") for name in PICTOGRAMS}

PAD, BEGIN = "<pad>", "<begin>"
VOCABULARY = (
    PAD,
    BEGIN,
    *("a", "an", "two", "three", "left", "of", "above", "and", "on", "background"),
    *BACKGROUNDS,
    *PICTOGRAMS,
    *(PLURALS[name] for name in PICTOGRAMS if PLURALS[name] != name),
)
TOKEN_IDS = {word: index for index, word in enumerate(VOCABULARY)}
PAD_ID, BEGIN_ID = TOKEN_IDS[PAD], TOKEN_IDS[BEGIN]

# The begin token, three phrases of two words, "left of", "and", and "on a <colour> background".
MAX_TOKENS = 1 + 3 * 2 + 2 + 1 + 4


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a caption: one pictogram and its count, from 1 to 3."""

    pictogram: str
    count: int

    def words(self) -> tuple[str, str]:
        """The phrase in English."""
        if self.count == 1:
            return _article(self.pictogram), self.pictogram
        return NUMBERS[self.count], PLURALS[self.pictogram]


@dataclass(frozen=True)
class Caption:
    """A parsed caption. `relation` holds between the things of the first phrase and those of the second."""

    phrases: tuple[Phrase, ...]
    relation: str | None
    background: str

    @property
    def things(self) -> int:
        """The number of things in the scene."""
        return sum(phrase.count for phrase in self.phrases)

    def text(self) -> str:
        """The caption in English."""
        words = self.phrases[0].words()
        for index, phrase in enumerate(self.phrases[1:]):
            conjunction = RELATIONS[self.relation] if self.relation and index == 0 else ("and",)
            words = (*words, *conjunction, *phrase.words())
        return " ".join((*words, "on", _article(self.background), self.background, "background"))

    def key(self) -> str:
        """The same text for all captions of the same meaning, so that paraphrases fall into the same split."""
        ordered = [f"{phrase.count} {phrase.pictogram}" for phrase in self.phrases]
        if self.relation:
            ordered[:2] = [f"{ordered[0]} {self.relation} {ordered[1]}"]
        related = 1 if self.relation else 0
        return f"{', '.join([*ordered[:related], *sorted(ordered[related:])])} | {self.background}"

    def bucket(self) -> int:
        """A hash of `key` from 0 to 99, which decides the split."""
        return int.from_bytes(hashlib.sha256(self.key().encode()).digest()[:8], "big") % 100


def parse(text: str) -> Caption:
    """Parse a caption. Raises ValueError, with the offending words, for text outside the grammar."""
    words = text.lower().split()
    if len(words) < 6 or words[-1] != "background" or words[-4] != "on":
        raise ValueError(f"a caption ends in 'on a <colour> background', not in {' '.join(words[-4:])!r}")
    background = words[-2]
    if background not in BACKGROUNDS:
        raise ValueError(f"unknown background {background!r}: expected one of {', '.join(BACKGROUNDS)}")
    phrases: list[Phrase] = []
    relation: str | None = None
    rest = words[:-4]
    while rest:
        if phrases:
            conjunction, rest = _take_conjunction(rest)
            if conjunction != "and":
                if len(phrases) != 1:
                    raise ValueError(f"only the first two phrases can be related, found a second {conjunction!r}")
                relation = conjunction
        phrase, rest = _take_phrase(rest)
        phrases.append(phrase)
    if len(phrases) > MAX_PHRASES:
        raise ValueError(f"{len(phrases)} phrases: expected at most {MAX_PHRASES}")
    if len({phrase.pictogram for phrase in phrases}) != len(phrases):
        raise ValueError("a pictogram is named twice: use a number instead")
    caption = Caption(tuple(phrases), relation, background)
    if caption.things > MAX_THINGS:
        raise ValueError(f"{caption.things} things: expected at most {MAX_THINGS}")
    return caption


def tokenize(text: str) -> list[int]:
    """Token ids of a caption, the begin token first, without padding. Raises ValueError for an unknown word."""
    unknown = [word for word in text.lower().split() if word not in TOKEN_IDS]
    if unknown:
        raise ValueError(f"unknown word {unknown[0]!r} in {text!r}")
    return [BEGIN_ID, *(TOKEN_IDS[word] for word in text.lower().split())]


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _take_conjunction(words: list[str]) -> tuple[str, list[str]]:
    for name, conjunction in {"and": ("and",), **RELATIONS}.items():
        if tuple(words[: len(conjunction)]) == conjunction:
            return name, words[len(conjunction) :]
    raise ValueError(f"expected 'and', 'left of' or 'above', found {words[0]!r}")


def _take_phrase(words: list[str]) -> tuple[Phrase, list[str]]:
    if len(words) < 2:
        raise ValueError(f"expected a number and a pictogram, found {' '.join(words)!r}")
    for pictogram in PICTOGRAMS:
        for count in (1, *NUMBERS):
            phrase = Phrase(pictogram, count)
            if tuple(words[:2]) == phrase.words():
                return phrase, words[2:]
    raise ValueError(f"not a number of pictograms: {words[0]!r} {words[1]!r}")
