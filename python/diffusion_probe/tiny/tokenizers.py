"""Word-by-word tokenizers that frame a prompt as the real ones do, made in memory."""

from __future__ import annotations

import zlib

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

VOCABULARY = 64
BEGIN, END, PAD, UNKNOWN = "<begin>", "<end>", "<pad>", "<unk>"
SPECIAL = [PAD, END, BEGIN, UNKNOWN]
CHAT = ["<|im_start|>", "<|im_end|>"]
WORDS = [
    "a",
    "the",
    "of",
    "on",
    "in",
    "and",
    "cat",
    "dog",
    "banana",
    "key",
    "red",
    "blue",
    "two",
    "three",
    "left",
    "right",
    "photo",
    "background",
]


def clip_tokenizer(length: int, pad: str = END) -> PreTrainedTokenizerFast:
    """begin, words, end, padding to `length`; CLIP pads with its end token, SDXL's second tokenizer with another."""
    return _tokenizer(f"{BEGIN} $A {END}", length, pad_token=pad, bos_token=BEGIN, eos_token=END)


def t5_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """words, end, padding."""
    return _tokenizer(f"$A {END}", length, pad_token=PAD, eos_token=END)


def chat_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """words alone: a chat template frames them."""
    return _tokenizer("$A", length, pad_token=PAD, eos_token=CHAT[1])


def _tokenizer(frame: str, length: int, **special: str) -> PreTrainedTokenizerFast:
    names = [*SPECIAL, *CHAT, *WORDS]
    inner = Tokenizer(WordLevel({name: index for index, name in enumerate(names)}, unk_token=UNKNOWN))
    inner.normalizer = Lowercase()
    inner.pre_tokenizer = Split(Regex(r"<\|\w+\|>|\w+|\n|[^\w\s]"), behavior="removed", invert=True)
    inner.post_processor = TemplateProcessing(single=frame, special_tokens=[(BEGIN, 2), (END, 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=length, unk_token=UNKNOWN, **special)


def seed_of(name: str) -> int:
    """The same weights for the same name, everywhere."""
    return zlib.crc32(name.encode())
