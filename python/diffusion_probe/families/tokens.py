"""Finds the text positions that are tokens of the prompt: not the begin token, the padding or a chat template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import CaptureError

TOKENS = "prompt and end of text; without begin, padding and template"
LONGEST = "max_sequence_length"

Call = Mapping[str, Any]
"""The arguments of the pipeline, by name."""
Text = str | list[dict[str, Any]]
"""What a tokenizer gets: a text, or the messages of a chat."""


@dataclass(frozen=True)
class Segment:
    """Text positions that come from one tokenizer, or from two tokenizers that share them."""

    tokenizers: tuple[str, ...]  # attributes of the pipeline
    prompts: tuple[str, ...] = ()  # the argument of each; one that is not given is `prompt`
    length: Callable[[Any, Call, Any], int | None] = lambda pipe, call, tokenizer: call[LONGEST]  # None: there is no limit
    template: Callable[[Any, Call, str], Text] = lambda pipe, call, prompt: prompt
    dropped: Callable[[Any, Call], int] = lambda pipe, call: 0  # positions that the pipeline removes at the start
    packed: bool = False  # the pipeline removes padding
    optional: bool = False  # without its encoder the positions are padding


def token_mask_of(pipe: Any, call: Call, segments: Sequence[Segment], given: np.ndarray | None = None) -> np.ndarray:
    """Bool [prompts, text positions]: the tokens of a call's prompts, or those given. Raises CaptureError without any."""
    if given is None:
        given = call.get("prompt_embeds_mask")  # Qwen-Image's own mask, without its template's head
    if given is None and call.get("prompt") is None:
        raise CaptureError("the prompt is given as embeddings: pass token_mask, bool [prompts, text positions]")
    mask = prompt_tokens(pipe, call, segments) if given is None else np.asarray(given, bool)
    if mask.ndim != 2 or not mask.any(axis=1).all():
        raise CaptureError(f"token_mask is {list(mask.shape)}: expected [prompts, text positions] with a token in every prompt")
    return mask


def prompt_tokens(pipe: Any, call: Call, segments: Sequence[Segment]) -> np.ndarray:
    """Bool [prompts, text positions]: the positions of the segments, one after another."""
    return np.concatenate([_segment_mask(pipe, call, segment) for segment in segments], axis=1)


def _segment_mask(pipe: Any, call: Call, segment: Segment) -> np.ndarray:
    """A position that two tokenizers share counts if it holds a token of either."""
    masks = []
    for name, argument in zip(segment.tokenizers, segment.prompts or ("prompt",), strict=True):
        prompts = call.get(argument) or call["prompt"]
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        tokenizer = getattr(pipe, name, None)
        has_encoder = not segment.optional or getattr(pipe, name.replace("tokenizer", "text_encoder")) is not None
        if tokenizer is not None and has_encoder:
            masks.append(_mask(pipe, call, segment, tokenizer, prompts))
        elif segment.optional:
            masks.append(np.zeros((len(prompts), segment.length(pipe, call, tokenizer)), bool))
    if not masks:
        raise CaptureError("the pipeline has no tokenizer: pass token_mask")
    return np.logical_or.reduce(masks)


def _mask(pipe: Any, call: Call, segment: Segment, tokenizer: Any, prompts: list[str]) -> np.ndarray:
    """Of what a template adds after the prompt, and of the special tokens there, the first counts: it ends the prompt."""
    if hasattr(pipe, "maybe_convert_prompt"):  # a textual inversion becomes several tokens
        prompts = pipe.maybe_convert_prompt(prompts, tokenizer)
    texts = [segment.template(pipe, call, prompt) for prompt in ["", "a", *prompts]]
    batch = _tokenized(tokenizer, texts, segment.length(pipe, call, tokenizer), "longest" if segment.packed else "max_length")
    # CLIP pads with the end token in one tokenizer and with "!" in the other, so only the mask separates padding from tokens.
    places = [np.flatnonzero(row) for row in np.asarray(batch["attention_mask"])]
    empty, word = (np.asarray(batch["input_ids"][row])[places[row]] for row in (0, 1))
    head = next((index for index, pair in enumerate(zip(empty, word, strict=False)) if pair[0] != pair[1]), len(empty))
    after_end = list(empty[head + 1 :])
    width = len(batch["attention_mask"][0])
    if segment.packed:
        width = max(len(place) for place in places[2:])
    dropped = segment.dropped(pipe, call)
    mask = np.zeros((len(prompts), width), bool)
    for row, place, ids in zip(mask, places[2:], batch["input_ids"][2:], strict=True):
        end = len(place) - len(after_end)
        if list(np.asarray(ids)[place[end:]]) != after_end:  # a long prompt cuts the template
            end = len(place)
        own = np.arange(len(place)) if segment.packed else place
        row[own[head:end]] = True
    return mask[:, dropped:]


def _tokenized(tokenizer: Any, texts: list[Text], length: int | None, padding: str) -> Mapping[str, Any]:
    settings = {"padding": padding, "max_length": length, "truncation": length is not None}
    if isinstance(texts[0], str):
        return tokenizer(texts, return_attention_mask=True, **settings)
    return tokenizer.apply_chat_template(texts, tokenize=True, return_dict=True, **settings)
