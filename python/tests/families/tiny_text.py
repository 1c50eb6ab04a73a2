"""Tiny text encoders, tokenizers and a processor that the package's own tiny pipelines do not need."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
from transformers import Gemma2Config, Gemma2Model, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from diffusion_probe.tiny.encoders import WIDTH
from diffusion_probe.tiny.tokenizers import BEGIN, END, PAD, VOCABULARY, chat_tokenizer, word_tokenizer

HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8}
SIZES = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 3, "pad_token_id": 0}

CHAT_TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content if message.content is string else message.content[0].text }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PICTURE_TOKENS = 4


def gemma() -> Any:
    """Gemma 2."""
    return Gemma2Model(Gemma2Config(**SIZES, **HEADS)).eval()


def llama() -> Any:
    """Llama; in place of the language models of FLUX.2 and Z-Image too, of which pipelines use hidden states alone."""
    return LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS, attn_implementation="eager")).eval()


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    """Begin, words; no end."""
    return word_tokenizer(f"{BEGIN} $A", 64, pad_token=PAD, bos_token=BEGIN)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """Begin, words; padded with the end token."""
    return word_tokenizer(f"{BEGIN} $A", 64, pad_token=END, bos_token=BEGIN, eos_token=END)


def templated_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template."""
    tokenizer = chat_tokenizer(64)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def kolors_class(name: str) -> Any:
    """A class of Kolors. diffusers offers it only where sentencepiece is installed, for a tokenizer that is not used here."""
    module = "pag.pipeline_pag_kolors" if "PAG" in name else "kolors.pipeline_kolors" + ("_img2img" if "Img2Img" in name else "")
    with patch.dict(sys.modules, {"sentencepiece": SimpleNamespace(SentencePieceProcessor=object)}):
        return getattr(importlib.import_module(f"diffusers.pipelines.{module}"), name)


class GlmTokenizer(PreTrainedTokenizerFast):
    """Adds positions to its output, as that of ChatGLM does."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Tokenize."""
        batch = super().__call__(*args, **kwargs)
        if isinstance(batch["attention_mask"], torch.Tensor):
            batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        return batch


def glm_tokenizer() -> PreTrainedTokenizerFast:
    """Padding, two special tokens, words."""
    tokenizer = word_tokenizer(f"{BEGIN} {BEGIN} $A", 64, pad_token=PAD, padding_side="left")
    tokenizer.__class__ = GlmTokenizer
    return tokenizer


def glm() -> Any:
    """ChatGLM."""
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        ffn_hidden_size=WIDTH,
        kv_channels=8,
        num_attention_heads=4,
        seq_length=64,
        original_rope=True,
        add_qkv_bias=True,
        multi_query_attention=True,
        multi_query_group_num=2,
    )
    model = ChatGLMModel(config).eval()
    for parameter in model.parameters():  # they are not initialised
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.0)
        else:
            torch.nn.init.ones_(parameter)
    return model


class PictureProcessor:
    """Puts several tokens in place of the picture, as that of Qwen2.5-VL does, and leaves the picture itself out."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self._tokenizer = tokenizer

    def __call__(self, text: list[str], images: Any, padding: bool, return_tensors: str) -> Any:
        """Tokenize."""
        longer = [one.replace("<|image_pad|>", "<|image_pad|>" * PICTURE_TOKENS) for one in text]
        return self._tokenizer(longer, padding=padding, return_tensors=return_tensors)
