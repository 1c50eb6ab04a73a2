"""The tokenizers: one token a word, the same after saving, and the head of Qwen-Image's template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import QwenImagePipeline

from diffusion_probe.reference.pipelines.tokenizers import clip_tokenizer, qwen_tokenizer, t5_tokenizer
from diffusion_probe.reference.sentences import caption_texts
from diffusion_probe.reference.splits import distinct_captions

LENGTH = 128
TOKENIZERS = {
    "clip": clip_tokenizer(LENGTH),
    "clip, second": clip_tokenizer(LENGTH, pad="!"),
    "t5": t5_tokenizer(LENGTH),
    "qwen": qwen_tokenizer(LENGTH),
}


def texts(count: int = 300) -> list[str]:
    """Plain captions and captions in sentences."""
    return caption_texts(distinct_captions("world", count, 5), 0.5, np.random.default_rng(0))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_word_of_a_caption_is_one_token_of_its_own(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    tokens: dict[str, set[int]] = {}
    for text in texts():
        words = text.replace(".", " .").split()
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(words), text
        for word, one in zip(words, ids, strict=True):
            tokens.setdefault(word, set()).add(one)
    assert len({one for ids in tokens.values() for one in ids}) == sum(len(ids) for ids in tokens.values())
    assert all(len(ids) <= 2 for ids in tokens.values())  # the first word of a text has no space before it


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_saved_tokenizer_is_the_same(name: str, tmp_path: Path) -> None:
    tokenizer: Any = TOKENIZERS[name]
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    settings = {"padding": "max_length", "max_length": LENGTH, "truncation": True}
    assert loaded(texts(20), **settings)["input_ids"] == tokenizer(texts(20), **settings)["input_ids"]
    assert loaded.model_max_length == LENGTH


@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_outside_the_captions_are_spelt(name: str) -> None:
    assert len(TOKENIZERS[name]("zebra", add_special_tokens=False)["input_ids"]) > 1


def test_the_head_of_the_template_has_as_many_tokens_as_the_pipeline_cuts_off() -> None:
    pipe = QwenImagePipeline(None, None, None, None, None)
    head, _ = pipe.prompt_template_encode.split("{}")
    assert len(TOKENIZERS["qwen"](head)["input_ids"]) == pipe.prompt_template_encode_start_idx
