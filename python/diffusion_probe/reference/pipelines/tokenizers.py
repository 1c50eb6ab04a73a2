"""Tokenizers of the classes that the pipelines use, with a token for each word of the reference captions."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from functools import cache

from diffusers import QwenImagePipeline
from transformers import CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

from ..sentences import SENTENCE_WORDS
from ..vocabulary import BEGIN, PAD, VOCABULARY

WORDS = tuple(dict.fromkeys([*(word for word in VOCABULARY if word not in (PAD, BEGIN)), *SENTENCE_WORDS]))
LETTERS = string.ascii_lowercase
PUNCTUATION = (".", ",")
CHAT_TOKENS = ["<|im_start|>", "<|im_end|>"]
MOST_TOKENS = 4096  # far above what the words need, so that training merges each word into one token
WORD_SCORE, LETTER_SCORE = -5.0, -20.0  # log-probabilities: one word is likelier than its letters


def clip_tokenizer(length: int, pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """CLIP's tokenizer: begin, words, end, padding to `length`. SDXL's second tokenizer pads with "!"."""
    vocabulary, merges = _byte_pairs(CLIPTokenizer, (*WORDS, *PUNCTUATION, "!", *LETTERS))
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad, model_max_length=length)


def t5_tokenizer(length: int) -> T5Tokenizer:
    """T5's tokenizer: words, end, padding to `length`. Words outside the captions are spelt in letters."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = [(f"▁{word}", WORD_SCORE) for word in WORDS]
    letters = [(letter, LETTER_SCORE) for letter in ("▁", *PUNCTUATION, *LETTERS)]
    return T5Tokenizer(vocab=[*special, *words, *letters], extra_ids=0, model_max_length=length)


def qwen_tokenizer(length: int) -> Qwen2Tokenizer:
    """Qwen2's tokenizer, with one token for each word of the chat template too.

    The pipeline cuts off the first 34 tokens, a number that it does not store: the head of its template must have as many.
    """
    template = QwenImagePipeline(None, None, None, None, None).prompt_template_encode  # an attribute of instances
    for token in CHAT_TOKENS:
        template = template.replace(token, "\n")
    vocabulary, merges = _byte_pairs(Qwen2Tokenizer, (template, *WORDS, *(f" {word}" for word in WORDS), *PUNCTUATION))
    return Qwen2Tokenizer(vocab=vocabulary, merges=merges, extra_special_tokens=CHAT_TOKENS, model_max_length=length)


@cache
def _byte_pairs(kind: type, texts: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of byte-pair encoding, trained until every word of the texts is one token."""
    trained = kind().train_new_from_iterator([texts], vocab_size=MOST_TOKENS, show_progress=False)
    model = json.loads(trained.backend_tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]
