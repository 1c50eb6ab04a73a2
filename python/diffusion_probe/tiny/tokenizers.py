"""Word-level tokenizers that add begin, end and padding tokens where those of the real pipelines do."""

from __future__ import annotations

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
    "a", "the", "of", "on", "in", "and", "cat", "dog", "banana", "key", "red", "blue", "two", "three", "left", "right", "photo",
    "background",
]  # fmt: skip


def clip_tokenizer(length: int, pad: str = END) -> PreTrainedTokenizerFast:
    """Begin, words, end, padding to `length`. CLIP pads with its end token, SDXL's second tokenizer with another one."""
    return word_tokenizer(f"{BEGIN} $A {END}", length, pad_token=pad, bos_token=BEGIN, eos_token=END)


def t5_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """Words, end, padding to `length`."""
    return word_tokenizer(f"$A {END}", length, pad_token=PAD, eos_token=END)


def chat_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """Words alone; the chat template adds the special tokens."""
    return word_tokenizer("$A", length, pad_token=PAD, eos_token=CHAT[1])


def word_tokenizer(frame: str, length: int, **special: str) -> PreTrainedTokenizerFast:
    names = [*SPECIAL, *CHAT, *WORDS]
    inner = Tokenizer(WordLevel({name: index for index, name in enumerate(names)}, unk_token=UNKNOWN))
    inner.normalizer = Lowercase()
    inner.pre_tokenizer = Split(Regex(r"<\|\w+\|>|\w+|\n|[^\w\s]"), behavior="removed", invert=True)
    inner.post_processor = TemplateProcessing(single=frame, special_tokens=[(BEGIN, 2), (END, 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=length, unk_token=UNKNOWN, **special)
