"""Teaches a trained backbone's text encoder the other wordings of a caption; the denoiser stays as it is.

The denoiser does not see the order of the text states. So the image of a paraphrase is that of its plain wording as soon as each
of its words has the state of the word in the same place of the plain wording. See docs/adr/0037-the-budget-of-one-training.md.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..progress import Progress
from ..training.loop import Schedule, TrainingLoop
from .backbone import Backbone, Denoiser, TextEncoder, pad_ids, text_mask_of
from .captions import PLAIN, Caption, Wording, tokenize
from .splits import data_captions, sample_caption
from .train_backbone import UNCONDITIONAL_CHANCE, load_backbone
from .vocabulary import BEGIN_ID, PAD_ID, PARAPHRASE_WORDS, TOKEN_IDS, VOCABULARY

BATCH = 128
PLAIN_SHARE = 0.25  # of the captions of a batch, to stay as they are
JUDGED_CAPTIONS = 256


def train_wordings(
    checkpoint: Path, start: Backbone, steps: int, seed: int = 0, batch: int = BATCH, fresh: bool = False
) -> Backbone:
    """Train up to `steps` from the checkpoint unless `fresh`, else from `start`; returns the averaged weights.

    The checkpoint is that of a whole backbone, as `reference export` takes it. At every save, the errors of the plain and of the
    other wordings on captions that are not trained on are printed and appended to a `.log.jsonl` file beside the checkpoint.
    """
    teacher = start.text_encoder.eval().requires_grad_(False)
    model = with_paraphrase_words(start)
    model.denoiser.requires_grad_(False)
    reading = what_is_read(model.denoiser)
    schedule = Schedule(
        steps, learning_rate=5e-4, warm_up_steps=100, cool_down_share=0.7, save_every=500, ema_decay=0.998, weight_decay=0.0
    )
    weights = b"".join(value.numpy().tobytes() for value in start.state_dict().values())
    settings = {**asdict(model.config), "seed": seed, "batch": batch, "start": hashlib.sha256(weights).hexdigest()[:16]}
    loop = TrainingLoop(model, checkpoint, schedule, settings, {"config": asdict(model.config)}, fresh=fresh)
    judged = data_captions("train", JUDGED_CAPTIONS)
    log_file = checkpoint.with_suffix(".log.jsonl")

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng([seed, 23, step])
        captions = [sample_caption(rng, "world") for _ in range(batch)]
        wordings = [_random_wording(caption, rng) for caption in captions]
        empty = rng.random(batch) < UNCONDITIONAL_CHANCE
        return state_error(model.text_encoder, teacher, reading, captions, wordings, empty)

    def judge(done: int, loss: float, progress: Progress) -> bool:
        averaged = Backbone(model.config)
        averaged.load_state_dict(loop.average.state)
        errors = wording_errors(averaged.text_encoder.eval(), teacher, reading, judged)
        line = json.dumps({"step": done, "loss": loss, **errors})
        progress.bar.write(line)
        with log_file.open("a" if done > schedule.save_every else "w") as file:
            file.write(line + "\n")
        return False

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    loop.run("wordings", loss_of, on_save=judge)
    return load_backbone(checkpoint)


def with_paraphrase_words(backbone: Backbone) -> Backbone:
    """The same backbone with an embedding of every word; a new word starts from that of a known one."""
    config = replace(backbone.config, vocabulary=len(VOCABULARY))
    grown = Backbone(config)
    state = copy.deepcopy(backbone.state_dict())
    known = state["text_encoder.words.weight"]
    rows = [known]
    for word in VOCABULARY[backbone.config.vocabulary :]:
        rows.append(known[TOKEN_IDS[PARAPHRASE_WORDS[word]]][None])
    grown.load_state_dict({**state, "text_encoder.words.weight": torch.cat(rows)})
    return grown.to(memory_format=torch.channels_last)


def state_error(
    encoder: TextEncoder,
    teacher: TextEncoder,
    reading: Tensor,
    captions: Sequence[Caption],
    wordings: Sequence[Wording],
    empty: np.ndarray,
) -> Tensor:
    """The mean squared error of what is read of the text states of wordings, against the teacher's of the plain wordings.

    Where `empty` holds, it is the empty caption's. `reading`: see `what_is_read`.
    """
    texts = zip(captions, wordings, empty, strict=True)
    ids = pad_ids([[BEGIN_ID] if none else tokenize(caption.text(wording)) for caption, wording, none in texts])
    plain_ids = pad_ids([[BEGIN_ID] if none else tokenize(caption.text()) for caption, none in zip(captions, empty, strict=True)])
    places = torch.arange(ids.shape[1]).repeat(len(ids), 1)
    for row, (caption, wording) in enumerate(zip(captions, wordings, strict=True)):
        order = plain_places(caption, wording)
        if not empty[row]:
            places[row, : len(order)] = torch.tensor(order)
    with torch.no_grad():
        target = teacher(plain_ids, text_mask_of(plain_ids))
    states = encoder(ids, text_mask_of(ids))
    width = states.shape[2]
    aligned = target.gather(1, places[..., None].expand(-1, -1, width))
    return ((states - aligned)[ids != PAD_ID] @ reading).square().sum(dim=1).mean()


def what_is_read(denoiser: Denoiser) -> Tensor:
    """A matrix [text_width, text_width]: |difference @ matrix|^2 is the mean square of the difference of all keys and values.

    The states of a word differ little between captions, and all that the denoiser knows of a relation lies in that difference. So
    an error counts as much as the keys and values of the cross-attentions show it.
    """
    blocks = (*denoiser.down, *denoiser.core, *denoiser.up)
    weights = torch.cat([block.cross.key_value.weight.detach() for block in blocks]).double()
    square = weights.T @ weights / len(weights)
    ridge = 1e-6 * square.diagonal().mean()
    return torch.linalg.cholesky(square + ridge * torch.eye(len(square), dtype=torch.float64)).float()


def plain_places(caption: Caption, wording: Wording) -> list[int]:
    """For each token of a wording, the begin token first, the index of the token of the plain wording that it stands for."""
    starts = {}
    start = 1
    for place, words in caption.parts():
        starts[place] = start
        start += len(words)
    return [0, *(starts[place] + index for place, words in caption.parts(wording) for index in range(len(words)))]


@torch.no_grad()
def wording_errors(encoder: TextEncoder, teacher: TextEncoder, reading: Tensor, captions: Sequence[Caption]) -> dict[str, float]:
    """The errors of the states of plain wordings, of each other kind of wording alone, and of all kinds together."""
    related = [caption for caption in captions if caption.relation]
    kinds = {
        "plain": (captions, PLAIN),
        "background_first": (captions, Wording(background_first=True)),
        "definite": (captions, Wording(definite=True)),
        "mirrored": (related, Wording(mirrored=True)),
        "all": (related, Wording(True, True, True)),
    }
    errors = {}
    for name, (some, wording) in kinds.items():
        error = state_error(encoder, teacher, reading, some, [wording] * len(some), np.zeros(len(some), bool))
        errors[name] = float(f"{float(error):.4g}")
    return errors


def _random_wording(caption: Caption, rng: np.random.Generator) -> Wording:
    others = caption.wordings()[1:]
    return PLAIN if rng.random() < PLAIN_SHARE else others[rng.integers(len(others))]
