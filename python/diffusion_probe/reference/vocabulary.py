"""The words of the reference world and their token ids."""

from __future__ import annotations

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
MIRRORED_RELATIONS = {"left": ("right", "of"), "above": ("below",)}
MAX_THINGS = 4
MAX_PHRASES = 3

_IRREGULAR_PLURALS = {"butterfly": "butterflies", "cactus": "cacti", "fish": "fish"}
PLURALS = {name: _IRREGULAR_PLURALS.get(name, name + "s") for name in PICTOGRAMS}

PAD, BEGIN = "<pad>", "<begin>"
# The words of paraphrases that no plain wording has, each with a known word: its embedding starts from that of the known word.
PARAPHRASE_WORDS = {"right": "left", "below": "above", "the": "a"}
# Trained weights depend on the order: new words come last.
VOCABULARY = (
    PAD,
    BEGIN,
    *("a", "an", "two", "three", "left", "of", "above", "and", "on", "background"),
    *BACKGROUNDS,
    *PICTOGRAMS,
    *(PLURALS[name] for name in PICTOGRAMS if PLURALS[name] != name),
    *PARAPHRASE_WORDS,
)
TOKEN_IDS = {word: index for index, word in enumerate(VOCABULARY)}
PAD_ID, BEGIN_ID = TOKEN_IDS[PAD], TOKEN_IDS[BEGIN]

# The begin token, three phrases of two words, "left of", "and", and "on a <colour> background". Paraphrases are no longer.
MAX_TOKENS = 1 + 3 * 2 + 2 + 1 + 4
