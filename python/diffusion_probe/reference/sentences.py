"""Captions of the reference world in two or three sentences: "there is a cat left of two keys. the background is blue."

The things stand in one sentence. Their relation stands in it too, or in a sentence of its own: "the cat is left of the keys". The
background is the first sentence or the last. Only backbones with a text encoder for longer texts are trained with these captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from .captions import Caption, Phrase, parse
from .vocabulary import BACKGROUNDS, PLURALS, RELATIONS

END = "."
SENTENCE_WORDS = ("there", "is", "are", END)
PLACEHOLDER_COLOUR = "blue"  # `parse` wants a background; the sentence of the things has none


def sentence_forms(caption: Caption) -> list[str]:
    """Every text of a caption in sentences: the background first or last, and a relation beside its things or apart."""
    apart = [False, True] if caption.relation else [False]
    return [_text(caption, first, own) for first, own in product([False, True], apart)]


def caption_texts(captions: Sequence[Caption], sentences: float, rng: np.random.Generator) -> list[str]:
    """A text of each caption: with the chance `sentences`, in [0, 1], one in sentences, otherwise the plain one."""
    texts: list[str] = []
    for caption in captions:
        forms = sentence_forms(caption) if rng.random() < sentences else [caption.text()]
        texts.append(forms[rng.integers(len(forms))])
    return texts


def read_caption(text: str) -> Caption:
    """The caption of a text in sentences or in any wording of `parse`. Raises ValueError for text outside both grammars."""
    if END not in text:
        return parse(text)
    sentences = [part.split() for part in text.lower().split(END) if part.strip()]
    colours = [words[3] for words in sentences if words[:3] == ["the", "background", "is"] and len(words) == 4]
    others = [words for words in sentences if words[:2] != ["the", "background"]]
    things = [words for words in others if words[0] == "there"]
    if len(colours) != 1 or colours[0] not in BACKGROUNDS or len(things) != 1 or len(sentences) != 1 + len(others):
        raise ValueError(f"expected 'there is <things>. the background is <colour>.', found {text!r}")
    caption = _with_background(" ".join(things[0][2:]), colours[0])
    if caption_verb(caption.phrases[0]) != " ".join(things[0][1:2]):
        raise ValueError(f"expected 'there {caption_verb(caption.phrases[0])}', found {' '.join(things[0][:2])!r}")
    for words in others:
        if words is not things[0]:
            caption = _related(caption, " ".join(words))
    return caption


def caption_verb(phrase: Phrase) -> str:
    """The verb that a phrase needs."""
    return "is" if phrase.count == 1 else "are"


def _text(caption: Caption, background_first: bool, relation_apart: bool) -> str:
    things = Caption(caption.phrases, None if relation_apart else caption.relation, PLACEHOLDER_COLOUR).text()
    things = things.removesuffix(f" on a {PLACEHOLDER_COLOUR} background")
    sentences = [f"there {caption_verb(caption.phrases[0])} {things}"]
    if relation_apart:
        sentences.append(_relation_sentence(caption.phrases[0], caption.relation, caption.phrases[1]))
    background = f"the background is {caption.background}"
    ordered = [background, *sentences] if background_first else [*sentences, background]
    return " ".join(f"{sentence}{END}" for sentence in ordered)


def _relation_sentence(first: Phrase, relation: str | None, second: Phrase) -> str:
    names = [PLURALS[p.pictogram] if p.count > 1 else p.pictogram for p in (first, second)]
    return " ".join(["the", names[0], caption_verb(first), *RELATIONS[relation], "the", names[1]])


def _with_background(things: str, colour: str) -> Caption:
    caption = parse(f"{things} on a {PLACEHOLDER_COLOUR} background")
    return Caption(caption.phrases, caption.relation, colour)


def _related(caption: Caption, sentence: str) -> Caption:
    """The caption with the relation of a sentence between its first two phrases."""
    if caption.relation is None and len(caption.phrases) > 1:
        for relation in RELATIONS:
            if sentence == _relation_sentence(caption.phrases[0], relation, caption.phrases[1]):
                return Caption(caption.phrases, relation, caption.background)
    raise ValueError(f"expected a relation between the first two things, found {sentence!r}")
