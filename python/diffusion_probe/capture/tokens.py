"""Finds the text positions that are tokens of the prompt: not the begin token, the padding or a chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import CaptureError

TOKENS = "prompt and end of text; without begin, padding and template"


def clip_tokens(pipe: Any, call: Mapping[str, Any]) -> np.ndarray:
    """SD1.5 and SDXL, CLIP: bool [prompts, 77]. SDXL's two tokenizers share the positions; a token of either counts."""
    first = _prompts(call["prompt"])
    second = _prompts(call.get("prompt_2") or first)
    masks = [
        _clip_mask(pipe, tokenizer, prompts)
        for tokenizer, prompts in ((pipe.tokenizer, first), (getattr(pipe, "tokenizer_2", None), second))
        if tokenizer is not None
    ]
    if not masks:
        raise CaptureError("the pipeline has no tokenizer: pass token_mask")
    return np.logical_or.reduce(masks)


def t5_tokens(pipe: Any, call: Mapping[str, Any]) -> np.ndarray:
    """FLUX, T5: bool [prompts, max_sequence_length]. The backbone gets no mask, so padding is among its keys."""
    prompts = _prompts(call.get("prompt_2") or call["prompt"])
    return _padded_mask(pipe, pipe.tokenizer_2, prompts, call["max_sequence_length"])


def clip_and_t5_tokens(pipe: Any, call: Mapping[str, Any]) -> np.ndarray:
    """SD3, CLIP followed by T5: bool [prompts, 77 + max_sequence_length]. Without T5 its positions are padding."""
    clip = clip_tokens(pipe, call)
    prompts = _prompts(call.get("prompt_3") or call["prompt"])
    if pipe.text_encoder_3 is None or pipe.tokenizer_3 is None:
        return np.pad(clip, ((0, 0), (0, call["max_sequence_length"])))
    return np.concatenate([clip, _padded_mask(pipe, pipe.tokenizer_3, prompts, call["max_sequence_length"])], axis=1)


def qwen_tokens(pipe: Any, call: Mapping[str, Any]) -> np.ndarray:
    """Qwen-Image: bool [prompts, longest prompt]. The pipeline has already removed the template's head.

    Of the template's tail only the first token counts: it ends the prompt.
    """
    head = pipe.prompt_template_encode_start_idx
    tail = len(_qwen_ids(pipe, "")) - head
    lengths = [len(_qwen_ids(pipe, prompt)) - head for prompt in _prompts(call["prompt"])]
    longest = min(max(lengths), call["max_sequence_length"])
    return np.stack([np.arange(longest) < length - tail + 1 for length in lengths])


def _prompts(prompt: str | Sequence[str]) -> list[str]:
    return [prompt] if isinstance(prompt, str) else list(prompt)


def _clip_mask(pipe: Any, tokenizer: Any, prompts: list[str]) -> np.ndarray:
    # CLIP pads with the end token in one tokenizer and with "!" in the other, so only the mask separates padding from tokens.
    mask = _padded_mask(pipe, tokenizer, prompts, tokenizer.model_max_length)
    mask[:, 0] = False
    return mask


def _padded_mask(pipe: Any, tokenizer: Any, prompts: list[str], length: int) -> np.ndarray:
    if hasattr(pipe, "maybe_convert_prompt"):  # a textual inversion becomes several tokens
        prompts = pipe.maybe_convert_prompt(prompts, tokenizer)
    batch = tokenizer(prompts, padding="max_length", max_length=length, truncation=True, return_attention_mask=True)
    return np.asarray(batch["attention_mask"], bool)


def _qwen_ids(pipe: Any, prompt: str) -> list[int]:
    longest = pipe.tokenizer_max_length + pipe.prompt_template_encode_start_idx
    return pipe.tokenizer(pipe.prompt_template_encode.format(prompt), max_length=longest, truncation=True)["input_ids"]
