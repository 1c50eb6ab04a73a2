"""The language of the reference world: what a caption can ask for, in words and in token ids.

A caption names one to three groups of pictograms, a relation between the first two or none, and a background:
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
MAX_GROUPS = 3

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

# The longest caption: three groups, "left of" between the first two, and the background, behind the begin token.
MAX_TOKENS = 1 + 3 * 2 + 2 + 1 + 4


@dataclass(frozen=True)
class Group:
    """`count` things (1 to 3) of one pictogram."""

    pictogram: str
    count: int


@dataclass(frozen=True)
class Request:
    """What a caption asks for: groups of things, a relation between the first two groups or none, a background."""

    groups: tuple[Group, ...]
    relation: str | None
    background: str

    @property
    def things(self) -> int:
        """How many things there are in all."""
        return sum(group.count for group in self.groups)

    def caption(self) -> str:
        """The request in English."""
        phrases = [_phrase(group) for group in self.groups]
        words = phrases[0]
        for index, phrase in enumerate(phrases[1:]):
            joint = RELATIONS[self.relation] if self.relation and index == 0 else ("and",)
            words = (*words, *joint, *phrase)
        return " ".join((*words, "on", _article(self.background), self.background, "background"))

    def key(self) -> str:
        """The same text for requests that mean the same, so that a split by key keeps paraphrases together."""
        ordered = [f"{group.count} {group.pictogram}" for group in self.groups]
        if self.relation:
            ordered[:2] = [f"{ordered[0]} {self.relation} {ordered[1]}"]
        related = 1 if self.relation else 0
        return f"{', '.join([*ordered[:related], *sorted(ordered[related:])])} | {self.background}"

    def bucket(self) -> int:
        """A stable number from 0 to 99 made from `key`: the split of a caption depends on nothing else."""
        return int.from_bytes(hashlib.sha256(self.key().encode()).digest()[:8], "big") % 100


def parse(caption: str) -> Request:
    """Read a caption back into what it asks for.

    Raises ValueError, naming the word, for anything outside the grammar.
    """
    words = caption.lower().split()
    if len(words) < 6 or words[-1] != "background" or words[-4] != "on":
        raise ValueError(f"a caption ends in 'on a <colour> background', not in {' '.join(words[-4:])!r}")
    background = words[-2]
    if background not in BACKGROUNDS:
        raise ValueError(f"unknown background {background!r}: expected one of {', '.join(BACKGROUNDS)}")
    groups: list[Group] = []
    relation: str | None = None
    rest = words[:-4]
    while rest:
        if groups:
            joint, rest = _take_joint(rest)
            if joint != "and":
                if len(groups) != 1:
                    raise ValueError(f"only the first two groups can be related, found a second {joint!r}")
                relation = joint
        group, rest = _take_group(rest)
        groups.append(group)
    if len(groups) > MAX_GROUPS:
        raise ValueError(f"{len(groups)} groups: expected at most {MAX_GROUPS}")
    if len({group.pictogram for group in groups}) != len(groups):
        raise ValueError("a pictogram is named twice: use a number instead")
    request = Request(tuple(groups), relation, background)
    if request.things > MAX_THINGS:
        raise ValueError(f"{request.things} things: expected at most {MAX_THINGS}")
    return request


def tokenize(caption: str) -> list[int]:
    """Token ids of a caption, the begin token first, without padding. Raises ValueError for an unknown word."""
    ids = [BEGIN_ID]
    for word in caption.lower().split():
        if word not in TOKEN_IDS:
            raise ValueError(f"unknown word {word!r} in {caption!r}")
        ids.append(TOKEN_IDS[word])
    return ids


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _phrase(group: Group) -> tuple[str, str]:
    if group.count == 1:
        return _article(group.pictogram), group.pictogram
    return NUMBERS[group.count], PLURALS[group.pictogram]


def _take_joint(words: list[str]) -> tuple[str, list[str]]:
    if words[0] == "and":
        return "and", words[1:]
    for name, joint in RELATIONS.items():
        if tuple(words[: len(joint)]) == joint:
            return name, words[len(joint) :]
    raise ValueError(f"expected 'and', 'left of' or 'above', found {words[0]!r}")


def _take_group(words: list[str]) -> tuple[Group, list[str]]:
    if len(words) < 2:
        raise ValueError(f"expected a number and a pictogram, found {' '.join(words)!r}")
    number, noun = words[:2]
    for pictogram in PICTOGRAMS:
        for count in (1, *NUMBERS):
            if (number, noun) == _phrase(Group(pictogram, count)):
                return Group(pictogram, count), words[2:]
    raise ValueError(f"not a number of pictograms: {number!r} {noun!r}")
