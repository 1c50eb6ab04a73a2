"""The whole softmax matrix of an attention module, in float64 from its own projections, norms and rotary embedding.

Each function takes a module and the arguments of its processor, and returns probabilities [rows, keys, queries], mean over heads.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusion_probe.check.reference import softmax

Arguments = dict[str, Any]


class Recorder:
    """Records the arguments of the processor in every call of some attention modules."""

    def __init__(self, modules: dict[str, nn.Module]):
        self.calls: dict[str, list[Arguments]] = {}  # in the order in which the modules run
        for name, module in modules.items():
            module.register_forward_pre_hook(self._hook(name), with_kwargs=True)

    def _hook(self, name: str):
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            signature = inspect.signature(module.processor.__call__)
            self.calls.setdefault(name, []).append(signature.bind(module, *args, **kwargs).arguments)

        return hook


def cross(attn: Any, given: Arguments) -> Tensor:
    """UNets, PixArt, Sana: queries from the image, keys from the text."""
    query, key = attn.to_q(given["hidden_states"]), attn.to_k(given["encoder_hidden_states"])
    if attn.norm_q is not None:
        query, key = attn.norm_q(query), attn.norm_k(key)
    bias = given.get("attention_mask")  # [rows, 1, keys]
    return softmax(heads(query, attn), heads(key, attn), None if bias is None else bias[:, None])


def sd3(attn: Any, given: Arguments) -> Tensor:
    """Image first, then text."""
    image, text = given["hidden_states"], given["encoder_hidden_states"]
    query = [heads(attn.to_q(image), attn), heads(attn.add_q_proj(text), attn)]
    key = [heads(attn.to_k(image), attn), heads(attn.add_k_proj(text), attn)]
    if attn.norm_q is not None:
        query = [attn.norm_q(query[0]), attn.norm_added_q(query[1])]
        key = [attn.norm_k(key[0]), attn.norm_added_k(key[1])]
    return softmax(torch.cat(query, dim=2), torch.cat(key, dim=2))


def flux(attn: Any, given: Arguments) -> Tensor:
    """FLUX.1 and Chroma: text first, then image; in single blocks both are one sequence."""
    hidden, text = given["hidden_states"], given.get("encoder_hidden_states")
    query, key = attn.norm_q(heads(attn.to_q(hidden), attn)), attn.norm_k(heads(attn.to_k(hidden), attn))
    if text is not None:
        query = torch.cat([attn.norm_added_q(heads(attn.add_q_proj(text), attn)), query], dim=2)
        key = torch.cat([attn.norm_added_k(heads(attn.add_k_proj(text), attn)), key], dim=2)
    return _turned_softmax(query, key, given)


def flux2(attn: Any, given: Arguments) -> Tensor:
    """FLUX.2: as FLUX.1; single blocks have one projection for queries, keys, values and the feed-forward part."""
    if hasattr(attn, "to_q"):
        return flux(attn, given)
    width = attn.head_dim * attn.heads
    projected = attn.to_qkv_mlp_proj(given["hidden_states"])
    query, key = (heads(projected[..., part * width : (part + 1) * width], attn) for part in (0, 1))
    return _turned_softmax(attn.norm_q(query), attn.norm_k(key), given)


def qwen(attn: Any, given: Arguments) -> Tensor:
    """Text first, then image, with a rotary embedding for each. The queries are those of the image."""
    image, text = given["hidden_states"], given["encoder_hidden_states"]
    image_turn, text_turn = given["image_rotary_emb"]
    query = turned(attn.norm_q(heads(attn.to_q(image), attn)), image_turn)
    key = [
        turned(attn.norm_added_k(heads(attn.add_k_proj(text), attn)), text_turn),
        turned(attn.norm_k(heads(attn.to_k(image), attn)), image_turn),
    ]
    mask = given.get("encoder_hidden_states_mask")
    if mask is not None:
        mask = F.pad(mask.bool(), (0, image.shape[1]), value=True)[:, None, None]
    return softmax(query, torch.cat(key, dim=2), mask)


def aura_flow(attn: Any, given: Arguments) -> Tensor:
    """Learned tokens, text, image; in single blocks they are one sequence."""
    hidden, text = given["hidden_states"], given.get("encoder_hidden_states")
    query, key = attn.norm_q(split(attn.to_q(hidden), attn)), attn.norm_k(split(attn.to_k(hidden), attn))
    if text is not None:
        query = torch.cat([attn.norm_added_q(split(attn.add_q_proj(text), attn)), query], dim=1)
        key = torch.cat([attn.norm_added_k(split(attn.add_k_proj(text), attn)), key], dim=1)
    return softmax(query.transpose(1, 2), key.transpose(1, 2))


def lumina(attn: Any, given: Arguments) -> Tensor:
    """One sequence; several heads of queries share a head of keys."""
    hidden, turn = given["hidden_states"], given["image_rotary_emb"][:, None]
    width = attn.to_q.out_features // attn.heads
    query, key = (x.unflatten(-1, (-1, width)) for x in (attn.to_q(hidden), attn.to_k(hidden)))
    query, key = (turned(x.transpose(1, 2).float(), turn) for x in (attn.norm_q(query), attn.norm_k(key)))
    mask = given.get("attention_mask")
    return softmax(query, key.repeat_interleave(attn.heads // key.shape[1], dim=1), None if mask is None else mask[:, None, None])


def z_image(attn: Any, given: Arguments) -> Tensor:
    """One sequence, image first."""
    hidden, turn = given["hidden_states"], given["freqs_cis"][:, None]
    query, key = attn.norm_q(heads(attn.to_q(hidden), attn)), attn.norm_k(heads(attn.to_k(hidden), attn))
    mask = given.get("attention_mask")
    return softmax(turned(query, turn), turned(key, turn), None if mask is None else mask[:, None, None])


def hidream(attn: Any, given: Arguments) -> Tensor:
    """Image first; keys of its padding are zero. A rotary embedding of 2 x 2 matrices."""
    hidden, text = given["hidden_states"], given.get("encoder_hidden_states")
    query, key = attn.q_rms_norm(attn.to_q(hidden)), attn.k_rms_norm(attn.to_k(hidden))
    if given.get("hidden_states_masks") is not None:
        key = key * given["hidden_states_masks"][..., None]
    if text is not None:
        query = torch.cat([query, attn.q_rms_norm_t(attn.to_q_t(text))], dim=1)
        key = torch.cat([key, attn.k_rms_norm_t(attn.to_k_t(text))], dim=1)
    matrices = given["image_rotary_emb"].squeeze(2)[:, None]  # [rows, 1, positions, pairs, 2, 2]
    pairs = [heads(x, attn).unflatten(-1, (-1, 2, 1)) for x in (query, key)]
    query, key = ((matrices @ pair).flatten(-3) for pair in pairs)
    return softmax(query, key)


def split(x: Tensor, attn: Any) -> Tensor:
    """[rows, positions, heads, width of a head]."""
    return x.unflatten(-1, (attn.heads, -1))


def heads(x: Tensor, attn: Any) -> Tensor:
    """[rows, heads, positions, width of a head]."""
    return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs of numbers as complex ones, times a complex rotary embedding."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turn).flatten(-2)


def _turned_softmax(query: Tensor, key: Tensor, given: Arguments) -> Tensor:
    cosine, sine = given["image_rotary_emb"]
    query, key = (x * cosine + _quarter_turned(x) * sine for x in (query, key))
    return softmax(query, key, given.get("attention_mask"))


def _quarter_turned(x: Tensor) -> Tensor:
    """(a, b) to (-b, a), pair by pair."""
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([-second, first], dim=-1).flatten(-2)
