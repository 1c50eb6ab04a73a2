"""Small text encoders of the classes that the pipelines use, with random weights."""

from __future__ import annotations

from typing import Any

from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

HEAD = 32  # channels of an attention head
LAYERS = 3
VISION_WIDTH = 32  # of the vision tower, which the pipeline loads and does not use


def clip_encoder(tokenizer: CLIPTokenizer, width: int, projected: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    """CLIP's text model; `projected` adds the projection of SDXL's second encoder."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=LAYERS,
        num_attention_heads=max(1, width // HEAD),
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5_encoder(tokenizer: T5Tokenizer, width: int) -> T5EncoderModel:
    """T5's encoder, version 1.1."""
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=HEAD,
        d_ff=2 * width,
        num_heads=max(1, width // HEAD),
        num_layers=LAYERS,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5EncoderModel(config)


def qwen_encoder(tokenizer: Qwen2Tokenizer, width: int) -> Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL, of which the pipeline uses the language model only."""
    words = len(tokenizer)
    text: dict[str, Any] = {
        "vocab_size": words + 3,  # the last three mark pictures and videos
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": max(1, width // HEAD),
        "num_key_value_heads": max(1, width // HEAD),
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0},
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        "depth": 1,
        "hidden_size": VISION_WIDTH,
        "intermediate_size": VISION_WIDTH,
        "num_heads": 2,
        "out_hidden_size": width,
        "fullatt_block_indexes": [0],
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=words,
        video_token_id=words + 1,
        vision_start_token_id=words + 2,
        tie_word_embeddings=True,
    )
    return Qwen2_5_VLForConditionalGeneration(config)
