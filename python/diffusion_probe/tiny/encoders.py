"""Tiny text encoders with random weights."""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from .tokenizers import VOCABULARY

WIDTH = 32
CLIP_LENGTH = 20


def clip_encoder(projected: bool = False) -> Any:
    """CLIP's text model; `projected` adds the projection that gives SDXL and SD3 their pooled embedding."""
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=CLIP_LENGTH,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def t5_encoder(width: int = WIDTH) -> Any:
    """T5's encoder."""
    config = T5Config(vocab_size=VOCABULARY, d_model=width, d_ff=WIDTH, d_kv=8, num_heads=4, num_layers=2, pad_token_id=0)
    return T5EncoderModel(config).eval()


def chat_encoder() -> Any:
    """Qwen2.5-VL, of which the pipeline uses the text model only."""
    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10_000.0},
        "pad_token_id": 0,
        "bos_token_id": 4,
        "eos_token_id": 5,
    }
    vision = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
    }
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, image_token_id=4, video_token_id=5, vision_start_token_id=4)
    return Qwen2_5_VLForConditionalGeneration(config).eval()
