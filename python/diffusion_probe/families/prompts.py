"""How each kind of pipeline gives its prompt to its tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .tokens import LONGEST, Call, Segment, Text


def _model_length(pipe: Any, call: Call, tokenizer: Any) -> int:
    return tokenizer.model_max_length


def _shorter_length(pipe: Any, call: Call, tokenizer: Any) -> int:
    return min(call[LONGEST], tokenizer.model_max_length)


CLIP = Segment(("tokenizer", "tokenizer_2"), ("prompt", "prompt_2"), _model_length)
T5 = Segment(("tokenizer",))
T5_SECOND = Segment(("tokenizer_2",), ("prompt_2",))
T5_THIRD = Segment(("tokenizer_3",), ("prompt_3",), optional=True)
KOLORS = Segment(
    ("tokenizer",), length=lambda pipe, call, tokenizer: 256
)  # diffusers 0.42 checks `max_sequence_length` and ignores it
HIDREAM_T5 = Segment(("tokenizer_3",), ("prompt_3",), _shorter_length)
HIDREAM_LLAMA = Segment(("tokenizer_4",), ("prompt_4",), _shorter_length)


def _template_start(pipe: Any, call: Call) -> int:
    return pipe.prompt_template_encode_start_idx


def _in_template(pipe: Any, call: Call, prompt: str) -> Text:
    return pipe.prompt_template_encode.format(prompt)


def _qwen_length(pipe: Any, call: Call, tokenizer: Any) -> int:
    return min(pipe.tokenizer_max_length, call[LONGEST]) + pipe.prompt_template_encode_start_idx


QWEN = Segment(("tokenizer",), (), _qwen_length, _in_template, _template_start, packed=True)
QWEN_EDIT = Segment(("tokenizer",), (), lambda pipe, call, tokenizer: None, _in_template, _template_start, packed=True)


def _chat(**settings: Any) -> Callable[[Any, Call, str], Text]:
    def template(pipe: Any, call: Call, prompt: str) -> Text:
        messages = [{"role": "user", "content": prompt}]
        return pipe.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **settings)

    return template


def _flux2_chat(pipe: Any, call: Call, prompt: str) -> Text:
    texts = {"system": pipe.system_message, "user": prompt.replace("[IMG]", "")}
    return [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in texts.items()]


Z_IMAGE = Segment(("tokenizer",), template=_chat(enable_thinking=True), packed=True)
FLUX2_KLEIN = Segment(("tokenizer",), template=_chat(enable_thinking=False))
FLUX2 = Segment(("tokenizer",), template=_flux2_chat)


def _lumina_text(pipe: Any, call: Call, prompt: str) -> Text:
    system = call.get("system_prompt")
    return f"{pipe.system_prompt if system is None else system} <Prompt Start> {prompt}"


def _cleaned(pipe: Any, call: Call, prompt: str) -> str:
    return pipe._text_preprocessing(prompt, clean_caption=call["clean_caption"])[0]


def _sana_instruction(call: Call) -> str:
    return "\n".join(call.get("complex_human_instruction") or ())


def _sana_dropped(pipe: Any, call: Call) -> int:
    instruction = _sana_instruction(call)
    return len(pipe.tokenizer.encode(instruction)) - 2 if instruction else 0


LUMINA2 = Segment(("tokenizer",), template=_lumina_text)
PIXART = Segment(("tokenizer",), template=_cleaned)
SANA = Segment(
    ("tokenizer",),
    length=lambda pipe, call, tokenizer: call[LONGEST] + _sana_dropped(pipe, call),
    template=lambda pipe, call, prompt: _sana_instruction(call) + _cleaned(pipe, call, prompt),
    dropped=_sana_dropped,
)
