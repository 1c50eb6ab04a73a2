"""Captions of the reference world: their grammar, their vocabulary, their token ids and their paraphrases.

A caption names one to three pictograms with their counts, a relation between the first two or none, and a background. Its plain
wording is "a cat left of two keys on a blue background". The backbone was first trained on plain wordings alone.
`demo/world/grammar.ts` is the same grammar in TypeScript; both are tested with `test/demo/world/captions.json`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import permutations, product

from .vocabulary import (
    BACKGROUNDS,
    BEGIN_ID,
    MAX_PHRASES,
    MAX_THINGS,
    MIRRORED_RELATIONS,
    NUMBERS,
    PICTOGRAMS,
    PLURALS,
    RELATIONS,
    TOKEN_IDS,
)

AND = ("and",)
BACKGROUND_WORDS = 4  # of "on a <colour> background"


@dataclass(frozen=True)
class Wording:
    """How a caption is put into words; the default is its plain wording."""

    background_first: bool = False  # "on a blue background a cat" for "a cat on a blue background"
    mirrored: bool = False  # "two keys right of a cat" for "a cat left of two keys"
    definite: bool = False  # "the" for "a" and "an"


PLAIN = Wording()


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a caption: one pictogram and its count, from 1 to 3."""

    pictogram: str
    count: int

    def words(self, definite: bool = False) -> tuple[str, str]:
        """The phrase in English."""
        if self.count == 1:
            return article(self.pictogram, definite), self.pictogram
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

    def text(self, wording: Wording = PLAIN) -> str:
        """The caption in English. Raises ValueError for a mirrored wording without a relation."""
        if wording.mirrored and self.relation is None:
            raise ValueError(f"{self.text()!r} has no relation: only a relation can be mirrored")
        phrases = [phrase.words(wording.definite) for phrase in self.phrases]
        if wording.mirrored:
            phrases[:2] = reversed(phrases[:2])
        relations = MIRRORED_RELATIONS if wording.mirrored else RELATIONS
        things = list(phrases[0])
        for index, phrase in enumerate(phrases[1:]):
            things += [*(relations[self.relation] if self.relation and index == 0 else AND), *phrase]
        background = ["on", article(self.background, wording.definite), self.background, "background"]
        return " ".join([*background, *things] if wording.background_first else [*things, *background])

    def wordings(self) -> list[Wording]:
        """All wordings, the plain one first."""
        mirrored = [False, True] if self.relation else [False]
        return [Wording(*choice) for choice in product([False, True], mirrored, [False, True])]

    def orders(self) -> list[Caption]:
        """The caption with its phrases in every order, this one first. A relation fixes the order."""
        if self.relation:
            return [self]
        return [Caption(phrases, None, self.background) for phrases in permutations(self.phrases)]

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


def paraphrases(caption: Caption) -> list[str]:
    """Every text with the meaning of a caption: each order of its phrases in each wording. Its plain text is first."""
    return [order.text(wording) for order in caption.orders() for wording in order.wordings()]


def paraphrase(caption: Caption, share: float = 1.0) -> str:
    """One of the paraphrases, or the plain text: always the same one for a meaning, chosen by a hash of it.

    `share`: of the captions that get a paraphrase, from 0 to 1.
    """
    digest = hashlib.sha256(f"{caption.key()} | paraphrase".encode()).digest()
    if int.from_bytes(digest[8:16], "big") >= share * 2**64:
        return caption.text()
    texts = paraphrases(caption)
    return texts[int.from_bytes(digest[:8], "big") % len(texts)]


def parse(text: str) -> Caption:
    """Parse a caption in any wording. Raises ValueError, with the offending words, for text outside the grammar.

    A mirrored relation is turned round: "a key right of a cat" is parsed as "a cat left of a key".
    """
    background, rest = _take_background(text.lower().split())
    phrases: list[Phrase] = []
    relation: str | None = None
    is_mirrored = False
    while rest or not phrases:
        if phrases:
            joint, mirrored, rest = _take_conjunction(rest)
            if joint:
                if len(phrases) != 1:
                    raise ValueError(f"only the first two phrases can be related, found a second {joint!r}")
                relation, is_mirrored = joint, mirrored
        phrase, rest = _take_phrase(rest)
        phrases.append(phrase)
    if len(phrases) > MAX_PHRASES:
        raise ValueError(f"{len(phrases)} phrases: expected at most {MAX_PHRASES}")
    if len({phrase.pictogram for phrase in phrases}) != len(phrases):
        raise ValueError("a pictogram is named twice: use a number instead")
    if is_mirrored:
        phrases[0], phrases[1] = phrases[1], phrases[0]
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


def article(noun: str, definite: bool) -> str:
    """The article before a noun or a colour."""
    return "the" if definite else "an" if noun[0] in "aeiou" else "a"


def _take_background(words: list[str]) -> tuple[str, list[str]]:
    """The background, from the end or the beginning of a caption, and the other words."""
    last, first = words[-BACKGROUND_WORDS:], words[:BACKGROUND_WORDS]
    if _is_background(last):
        found, rest = last, words[:-BACKGROUND_WORDS]
    elif _is_background(first):
        found, rest = first, words[BACKGROUND_WORDS:]
    else:
        raise ValueError(f"a caption begins or ends in 'on a <colour> background', not in {' '.join(last)!r}")
    colour = found[2]
    if colour not in BACKGROUNDS:
        raise ValueError(f"unknown background {colour!r}: expected one of {', '.join(BACKGROUNDS)}")
    if found[1] not in (article(colour, False), article(colour, True)):
        raise ValueError(f"expected 'a' or 'the' before {colour!r}, found {found[1]!r}")
    return colour, rest


def _is_background(words: list[str]) -> bool:
    return len(words) == BACKGROUND_WORDS and words[0] == "on" and words[-1] == "background"


def _take_conjunction(words: list[str]) -> tuple[str | None, bool, list[str]]:
    """The relation, or None for "and"; whether it is mirrored; and the words behind it."""
    candidates = [(None, False, AND)]
    for mirrored, relations in ((False, RELATIONS), (True, MIRRORED_RELATIONS)):
        candidates += [(name, mirrored, relation) for name, relation in relations.items()]
    for name, mirrored, conjunction in candidates:
        if tuple(words[: len(conjunction)]) == conjunction:
            return name, mirrored, words[len(conjunction) :]
    raise ValueError(f"expected 'and', 'left of', 'right of', 'above' or 'below', found {words[0]!r}")


def _take_phrase(words: list[str]) -> tuple[Phrase, list[str]]:
    if len(words) < 2:
        raise ValueError(f"expected a number and a pictogram, found {' '.join(words)!r}")
    for pictogram in PICTOGRAMS:
        for count in (1, *NUMBERS):
            phrase = Phrase(pictogram, count)
            if tuple(words[:2]) in (phrase.words(), phrase.words(definite=True)):
                return phrase, words[2:]
    raise ValueError(f"not a number of pictograms: {words[0]!r} {words[1]!r}")
