"""Capture works with features of diffusers that could break it, and changes neither the pipeline's output nor its state."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig, HeunDiscreteScheduler, PNDMScheduler
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from diffusion_probe.capture import AttentionCapture, CaptureError
from diffusion_probe.families import family_of, text_layers

GRID = (4, 4)
ROUNDING = 6e-4  # float16, near 1


def capture(backbone, steps: tuple[int, ...] = (2,), **changes: Any):
    """One run with capture of all layers."""
    return AttentionCapture(backbone.pipe, layers=["*"], steps=steps, grid=GRID)(**backbone.arguments(**changes))


def test_images_with_capture_equal_those_without_bit_for_bit(backbone) -> None:
    without_capture = backbone()
    assert np.array_equal(capture(backbone, steps=(1, 3)).output.images, without_capture)
    assert np.array_equal(backbone(), without_capture), "capture leaves nothing behind"


def test_the_pipeline_is_left_as_it_was(backbone) -> None:
    backbone(num_inference_steps=1)  # the first call adds attributes of its own
    modules = [backbone.pipe, backbone.denoiser, *text_layers(backbone.pipe).values()]
    before = [dict(vars(module)) for module in modules]
    processors = backbone.denoiser.attn_processors

    def fail(pipe: Any, step: int, timestep: Any, kwargs: dict) -> dict:
        raise RuntimeError("a user's callback")

    with pytest.raises(RuntimeError, match="a user's callback"):
        capture(backbone, steps=(1,), callback_on_step_end=fail)
    assert [sorted(vars(module)) for module in modules[1:]] == [sorted(names) for names in before[1:]]
    assert "forward" not in vars(modules[2])
    assert backbone.denoiser.attn_processors == processors


def test_other_steps_and_layers_are_not_changed(make_backbone) -> None:
    backbone = make_backbone("flux")
    layer = "transformer_blocks.1.attn"
    seen: list[tuple[str, bool]] = []
    for name, module in text_layers(backbone.pipe).items():
        module.register_forward_pre_hook(lambda module, args, name=name: seen.append((name, "forward" in vars(module))))
    AttentionCapture(backbone.pipe, layers=[layer], steps=[2], grid=GRID)(**backbone.arguments())
    hooked = [position for position, (_, hooked_now) in enumerate(seen) if hooked_now]
    assert [(seen[position][0], position // 4 + 1) for position in hooked] == [(layer, 2)]


def test_processors_receive_all_their_arguments(make_backbone) -> None:
    """Attention.forward drops arguments that the processor's signature does not name, such as Qwen-Image's rotary embedding."""
    backbone = make_backbone("qwen-image")
    given: list[set[str]] = []
    inner = type(backbone.denoiser.transformer_blocks[0].attn.processor).__call__

    class Processor:
        _attention_backend = None
        _parallel_config = None

        def __call__(
            self,
            attn: Any,
            hidden_states: Any,
            encoder_hidden_states: Any = None,
            encoder_hidden_states_mask: Any = None,
            attention_mask: Any = None,
            image_rotary_emb: Any = None,
        ) -> Any:
            given.append({"mask"} if encoder_hidden_states_mask is not None else set())
            assert image_rotary_emb is not None
            return inner(
                self,
                attn,
                hidden_states,
                encoder_hidden_states,
                encoder_hidden_states_mask,
                attention_mask,
                image_rotary_emb,
            )

    backbone.denoiser.set_attn_processor(Processor())
    capture(backbone, prompts=["a cat on the banana", "two dog"])
    assert given
    assert all(names == {"mask"} for names in given)


@pytest.mark.parametrize("processor", ["sliced", "classic"])
def test_processors_without_the_fused_kernel_show_the_same_maps(make_backbone, processor: str) -> None:
    backbone = make_backbone("sd15")
    plain = capture(backbone).steps[2].attention
    if processor == "sliced":
        backbone.pipe.enable_attention_slicing()
    else:
        backbone.pipe.unet.set_attn_processor(AttnProcessor())
    without_capture = backbone()
    run = capture(backbone)
    assert np.array_equal(run.output.images, without_capture)
    np.testing.assert_allclose(run.steps[2].attention, plain, atol=ROUNDING)
    assert not any(isinstance(module.processor, AttnProcessor2_0) for module in text_layers(backbone.pipe).values())


def test_unknown_processors_are_refused_by_name(make_backbone) -> None:
    class Homemade:
        def __call__(self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, attention_mask: Any = None) -> Any:
            return hidden_states

    backbone = make_backbone("sd15")
    backbone.pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.set_processor(Homemade())
    with pytest.raises(CaptureError, match="Homemade"):
        capture(backbone)


@pytest.mark.parametrize("name", ["flux", "qwen-image"])
def test_any_attention_backend_shows_the_same_maps(make_backbone, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def own_kernel(query: Any, key: Any, value: Any, attn_mask: Any = None, **_: Any) -> Any:
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, float("-inf"))
        return (scores.softmax(-1) @ value).transpose(1, 2)

    backbone = make_backbone(name)
    plain = capture(backbone, images=1).steps[2].attention
    monkeypatch.setitem(_AttentionBackendRegistry._backends, AttentionBackendName._NATIVE_MATH, own_kernel)
    monkeypatch.setitem(
        _AttentionBackendRegistry._supported_arg_names,
        AttentionBackendName._NATIVE_MATH,
        {"query", "key", "value", "attn_mask"},
    )
    backbone.denoiser.set_attention_backend("_native_math")
    without_capture = backbone(images=1)
    run = capture(backbone, images=1)
    assert np.array_equal(run.output.images, without_capture)
    np.testing.assert_allclose(run.steps[2].attention, plain, atol=ROUNDING)


@pytest.mark.parametrize(
    ("name", "way"), [("sd15", "function"), ("sd15", "in place"), ("flux", "function"), ("flux", "in place"), ("flux", "blocks")]
)
def test_compiled_denoisers_are_captured(make_backbone, name: str, way: str) -> None:
    backbone = make_backbone(name)
    plain = capture(backbone)
    if way == "blocks":
        backbone.denoiser.compile_repeated_blocks(backend="eager")
    elif way == "function":
        attribute = "unet" if name == "sd15" else "transformer"
        setattr(backbone.pipe, attribute, torch.compile(backbone.denoiser, backend="eager"))
    else:
        backbone.denoiser.compile(backend="eager")
    without_capture = backbone()
    run = capture(backbone)
    np.testing.assert_allclose(run.steps[2].attention, plain.steps[2].attention, atol=ROUNDING)
    np.testing.assert_allclose(run.output.images, without_capture, atol=1e-4)
    assert run.settings.capture_id == plain.settings.capture_id
    torch.compiler.reset()


def test_a_step_whose_layers_a_block_cache_skips_is_missing(make_backbone) -> None:
    backbone = make_backbone("flux")
    backbone.denoiser.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    run = capture(backbone, steps=(1, 3))
    assert list(run.steps) == [1]
    assert "did not run" in run.missing[3]
    assert "transformer_blocks.1.attn" in run.missing[3]
    assert len(run.output.images) == 2


def test_maps_under_autocast_are_those_of_its_precision(backbone) -> None:
    plain = capture(backbone).steps[2].attention.astype(np.float32)
    with torch.autocast("cpu", torch.bfloat16):
        run = capture(backbone)
    maps = run.steps[2].attention.astype(np.float32)
    assert not run.missing
    np.testing.assert_allclose(maps, plain, atol=0.03)
    assert maps.sum(axis=2).max() < 1.002
    assert run.conditions["dtype"] == "float32, autocast bfloat16"


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_a_denoiser_with_an_adapter_of_peft(make_backbone, name: str) -> None:
    """A new adapter changes nothing."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["to_q", "to_k"])
    plain = AttentionCapture(make_backbone(name).pipe, steps=[2])
    expected = plain(**make_backbone(name).arguments()).steps[2].attention
    added, wrapped = make_backbone(name), make_backbone(name)
    added.denoiser.add_adapter(config)
    setattr(wrapped.pipe, family_of(wrapped.pipe).denoiser, peft.get_peft_model(wrapped.denoiser, config))
    for backbone in (added, wrapped):
        for layers in (None, list(plain.layers)):
            own = AttentionCapture(backbone.pipe, layers, steps=[2])
            assert own.layers == plain.layers
            assert np.array_equal(own(**backbone.arguments()).steps[2].attention, expected)


def test_group_offload_keeps_working(make_backbone) -> None:
    backbone = make_backbone("flux")
    plain = capture(backbone).steps[2].attention
    cpu = torch.device("cpu")
    backbone.denoiser.enable_group_offload(onload_device=cpu, offload_device=cpu, offload_type="leaf_level")
    np.testing.assert_allclose(capture(backbone).steps[2].attention, plain, atol=ROUNDING)


@pytest.mark.parametrize("name", ["sd15", "qwen-image"])
def test_sequential_offload_keeps_working(make_backbone, name: str) -> None:
    """A module's weights are loaded during its forward only."""
    accelerate = pytest.importorskip("accelerate")
    backbone = make_backbone(name)
    plain = capture(backbone).steps[2].attention
    accelerate.cpu_offload(backbone.denoiser, torch.device("cpu"))
    without_capture = backbone()
    run = capture(backbone)
    assert np.array_equal(run.output.images, without_capture)
    np.testing.assert_allclose(run.steps[2].attention, plain, atol=ROUNDING)
    if name == "sd15":
        backbone.pipe.enable_attention_slicing()
        np.testing.assert_allclose(capture(backbone).steps[2].attention, plain, atol=ROUNDING)


def test_model_offload_keeps_working(backbone) -> None:
    plain = capture(backbone).steps[2].attention
    backbone.pipe.enable_model_cpu_offload(device="cpu")
    without_capture = backbone()
    run = capture(backbone)
    assert np.array_equal(run.output.images, without_capture)
    assert np.array_equal(run.steps[2].attention, plain)


@pytest.mark.parametrize("kind", [HeunDiscreteScheduler, PNDMScheduler])
def test_steps_count_evaluations_of_the_denoiser(make_backbone, kind: type) -> None:
    """Second-order schedulers, and those with warm-up steps, evaluate it more often than `num_inference_steps`."""
    backbone = make_backbone("sd15")
    backbone.pipe.scheduler = kind.from_config(backbone.pipe.scheduler.config)
    timesteps: list[float] = []
    backbone.denoiser.register_forward_pre_hook(lambda module, args: timesteps.append(float(args[1])))
    run = capture(backbone, steps=(2, 5))
    assert run.conditions["timesteps"] == pytest.approx(timesteps, abs=1e-3)
    assert run.steps[2].total_steps == len(timesteps) > 4
    assert [run.steps[step].timestep for step in (2, 5)] == [timesteps[1], timesteps[4]]


def test_two_pipelines_in_two_threads_do_not_interfere(make_backbone) -> None:
    backbones = [make_backbone("flux"), make_backbone("sdxl")]
    alone = [capture(backbone).steps[2].attention for backbone in backbones]
    together: dict[int, np.ndarray] = {}

    def run(index: int) -> None:
        together[index] = capture(backbones[index]).steps[2].attention

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        assert np.array_equal(together[index], alone[index])


def test_long_prompts_are_truncated_as_in_the_pipeline(make_backbone) -> None:
    captured = capture(make_backbone("sd15"), prompts="cat " * 50).steps[2]
    assert captured.token_mask.sum(axis=1).tolist() == [19, 19], "20 positions without the begin token"


def test_an_empty_prompt_has_the_end_token(backbone) -> None:
    tokens = capture(backbone, prompts="").steps[2].token_mask
    assert tokens.tolist() == [[1] * (2 if backbone.name == "sd3" else 1)] * 2


def test_prompts_as_embeddings_require_a_token_mask(make_backbone) -> None:
    embeddings = torch.zeros(1, 20, 32)
    with pytest.raises(CaptureError, match="token_mask"):
        capture(make_backbone("sd15"), prompts=None, prompt_embeds=embeddings, negative_prompt_embeds=embeddings)


def test_unknown_layers_are_refused_by_name(make_backbone) -> None:
    with pytest.raises(CaptureError, match=r"there is no layer 'transformer_blocks\.9\.attn'"):
        AttentionCapture(make_backbone("flux").pipe, layers=["transformer_blocks.9.attn"])


def test_a_probe_with_unsupported_reductions_is_refused(make_backbone) -> None:
    backbone = make_backbone("sd15")
    settings = AttentionCapture(backbone.pipe, steps=[1], grid=GRID)(**backbone.arguments()).settings
    with pytest.raises(CaptureError, match="the probe's heads are 'largest': expected 'mean'"):
        AttentionCapture.for_probe(backbone.pipe, dataclasses.replace(settings, heads="largest"), steps=[1])
