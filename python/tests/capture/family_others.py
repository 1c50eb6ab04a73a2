"""Cases of the backbones that the package has no tiny pipeline of its own for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diffusers
import PIL.Image
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffusion_probe.tiny import pipelines as tiny
from diffusion_probe.tiny.encoders import WIDTH, clip_encoder, t5_encoder
from diffusion_probe.tiny.tokenizers import clip_tokenizer, t5_tokenizer

from . import slow_reference as reference
from . import tiny_text
from .family_case import CLIP, GUIDED, SIZE, T5, Case, arguments_of, made_from, words

ONE_WORD_LESS = [list(range(5)), list(range(2))]  # without an end of text
FLOW = {"num_inference_steps": 4, "guidance_scale": 5.0, "max_sequence_length": T5}


def shifted(positions: list[list[int]], start: int) -> list[list[int]]:
    """Positions that begin elsewhere."""
    return [[start + position for position in own] for own in positions]


def patches(layer: str) -> tuple[int, int]:
    """Height and width of the image, 2 x 2 latents to a position."""
    return 8, 12


def pixart_cases() -> Iterator[Case]:
    """PixArt-Alpha and -Sigma."""

    def make() -> Any:
        transformer = diffusers.PixArtTransformer2DModel(
            sample_size=16,
            num_layers=2,
            num_attention_heads=4,
            attention_head_dim=8,
            cross_attention_dim=WIDTH,
            caption_channels=WIDTH,
            use_additional_conditions=False,
        )
        return diffusers.PixArtSigmaPipeline(
            t5_tokenizer(T5), t5_encoder(), tiny._vae(), transformer.eval(), diffusers.DDIMScheduler(clip_sample=False)
        )

    for name in ("PixArtAlphaPipeline", "PixArtSigmaPipeline", "PixArtSigmaPAGPipeline"):
        call = {**FLOW, **SIZE, "use_resolution_binning": False, "clean_caption": False}
        yield Case(name, made_from(make, name), call, reference.cross, words(0), patches, part=1, guidance=GUIDED)


def sana_cases() -> Iterator[Case]:
    """Sana."""

    def make() -> Any:
        transformer = diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=4,
            attention_head_dim=8,
            num_cross_attention_heads=4,
            cross_attention_head_dim=8,
            cross_attention_dim=WIDTH,
            caption_channels=WIDTH,
            sample_size=16,
        )
        blocks, channels = ("ResBlock", "EfficientViTBlock"), (8, 8)
        vae = diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=blocks,
            decoder_block_types=blocks,
            encoder_block_out_channels=channels,
            decoder_block_out_channels=channels,
            encoder_layers_per_block=(1, 1),
            decoder_layers_per_block=(1, 1),
            encoder_qkv_multiscales=((), (5,)),
            decoder_qkv_multiscales=((), (5,)),
        )
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        return diffusers.SanaPipeline(tiny_text.gemma_tokenizer(), tiny_text.gemma(), vae.eval(), transformer.eval(), scheduler)

    call = {**FLOW, "height": 32, "width": 64, "use_resolution_binning": False}
    # The begin token and five of the instruction, of which the pipeline keeps the begin token and the last.
    instructed = {"complex_human_instruction": ["two dog", "photo: "]}
    for name, own, start, label in (
        ("SanaPipeline", instructed, 2, ""),
        ("SanaPipeline", {"complex_human_instruction": None}, 1, " without instruction"),
        ("SanaPAGPipeline", instructed, 2, ""),
    ):
        text = shifted(ONE_WORD_LESS, start)
        yield Case(
            name,
            made_from(make, name),
            call | own,
            reference.cross,
            text,
            lambda layer: (16, 32),
            part=1,
            guidance=GUIDED,
            label=label,
        )


def kolors_cases() -> Iterator[Case]:
    """Kolors: Stable Diffusion XL's UNet with the text of ChatGLM, padded on the left."""

    def make() -> Any:
        base = tiny.sdxl()
        config = {"encoder_hid_dim": WIDTH, "encoder_hid_dim_type": "text_proj", "_use_default_values": []}
        unet = diffusers.UNet2DConditionModel.from_config({**base.unet.config, **config}).eval()
        return tiny_text.kolors_class("KolorsPipeline")(
            base.vae, tiny_text.glm(), tiny_text.glm_tokenizer(), unet, base.scheduler
        )

    def size(layer: str) -> tuple[int, int]:
        return (8, 12) if layer.startswith(("mid", "down_blocks.1", "up_blocks.0")) else (16, 24)

    text = [list(range(T5 - 5, T5)), list(range(T5 - 2, T5))]
    for kind in ("", "Img2Img", "PAG"):
        name = f"Kolors{kind}Pipeline"
        call = FLOW | arguments_of(kind)
        made = made_from(make, name, kind=tiny_text.kolors_class(name))
        yield Case(name, made, call, reference.cross, text, size, part=1, guidance=GUIDED)


def chroma_cases() -> Iterator[Case]:
    """Chroma: as FLUX.1, with a text mask and guidance in a second call."""

    def make() -> Any:
        transformer = diffusers.ChromaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=16,
            approximator_hidden_dim=WIDTH,
            approximator_layers=1,
        )
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
        return diffusers.ChromaPipeline(
            scheduler, tiny._vae(shift_factor=0.06), t5_encoder(), t5_tokenizer(T5), transformer.eval()
        )

    for kind in ("", "Img2Img"):
        name = f"Chroma{kind}Pipeline"
        call = FLOW | arguments_of(kind) | {"negative_prompt": ["dog", "the key"]}
        yield Case(name, made_from(make, name), call, reference.flux, words(0), patches, (T5, T5), calls=2, guidance=GUIDED)


def auraflow_cases() -> Iterator[Case]:
    """AuraFlow: eight learned tokens before the text."""

    def make() -> Any:
        transformer = diffusers.AuraFlowTransformer2DModel(
            sample_size=16,
            num_mmdit_layers=2,
            num_single_dit_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=WIDTH,
            caption_projection_dim=WIDTH,
            pos_embed_max_size=256,
        )
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        return diffusers.AuraFlowPipeline(t5_tokenizer(T5), t5_encoder(), tiny._vae(), transformer.eval(), scheduler)

    start = (8 + T5, 8 + T5)
    yield Case("AuraFlowPipeline", make, FLOW | SIZE, reference.aura_flow, words(8), patches, start, part=1, guidance=GUIDED)


def lumina_cases() -> Iterator[Case]:
    """Lumina 2: text and image of each row are packed."""

    def make() -> Any:
        transformer = diffusers.Lumina2Transformer2DModel(
            sample_size=16,
            in_channels=4,
            hidden_size=24,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=3,
            num_kv_heads=1,
            multiple_of=2,
            axes_dim_rope=(4, 2, 2),
            axes_lens=(64, 64, 64),
            cap_feat_dim=WIDTH,
        )
        return diffusers.Lumina2Pipeline(
            transformer.eval(), FlowMatchEulerDiscreteScheduler(), tiny._vae(), tiny_text.gemma(), tiny_text.gemma_tokenizer()
        )

    # Begin, the system prompt and its end are seven tokens. diffusers orders the masks by image and not by prompt: images 2 and 3
    # have the text length of the other prompt, and image 2 loses three words.
    text = [[7, 8, 9, 10, 11], [7, 8, None, None, None], [7, 8], [7, 8]]
    call = FLOW | {"height": 128, "width": 192, "system_prompt": "two photo"}  # its latents are eight times smaller with any VAE
    yield Case("Lumina2Pipeline", make, call, reference.lumina, text, patches, (12, 9, 12, 9), calls=2, guidance=GUIDED)


def z_image_cases() -> Iterator[Case]:
    """Z-Image: image first, both padded to multiples of 32; guidance's rows come last."""

    def make() -> Any:
        transformer = diffusers.ZImageTransformer2DModel(
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[8, 4, 4],
            axes_lens=[256, 32, 32],
        )
        for token in (transformer.x_pad_token, transformer.cap_pad_token):  # they are not initialised
            torch.nn.init.normal_(token)
        return diffusers.ZImagePipeline(
            FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            tiny._vae(shift_factor=0.06),
            tiny_text.llama(),
            tiny_text.templated_tokenizer(),
            transformer.eval(),
        )

    for kind in ("", "Img2Img", "Inpaint"):
        name = f"ZImage{kind}Pipeline"
        call = FLOW | arguments_of(kind)
        yield Case(name, made_from(make, name), call, reference.z_image, words(96 + 3), patches, guidance=GUIDED)
    # 40 x 48 pixels are 120 positions, padded to 128.
    call = FLOW | {"height": 40, "width": 48}
    text = words(128 + 3)
    yield Case(
        "ZImagePipeline", make, call, reference.z_image, text, lambda layer: (10, 12), guidance=GUIDED, label=" with padding"
    )


def _flux2_transformer(guidance_embeds: bool) -> Any:
    return diffusers.Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        axes_dims_rope=(4, 4, 4, 4),
        timestep_guidance_channels=16,
        guidance_embeds=guidance_embeds,
    ).eval()


def _flux2_vae() -> Any:
    return diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    ).eval()


def flux2_cases() -> Iterator[Case]:
    """FLUX.2: the text is a whole chat; pictures to edit follow the image."""

    def make(name: str) -> Any:
        pipe = getattr(diffusers, name)(
            FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            _flux2_vae(),
            tiny_text.llama(),
            tiny_text.templated_tokenizer(),
            _flux2_transformer(guidance_embeds=name == "Flux2Pipeline"),
        )
        pipe.system_message = "two photo"
        return pipe

    call = FLOW | SIZE | {"text_encoder_out_layers": (1, 2, 3)}
    embedded = {"classifier_free": None, "embedded": 5.0}
    picture = {"image": PIL.Image.new("RGB", (96, 64), (200, 100, 0))}
    for name, own, start, calls, guidance, label in (
        ("Flux2Pipeline", {}, 10, 1, embedded, ""),
        ("Flux2Pipeline", picture, 10, 1, embedded, " with a picture"),
        ("Flux2KleinPipeline", {}, 3, 2, GUIDED, ""),
    ):
        yield Case(
            name,
            lambda name=name: make(name),
            call | own,
            reference.flux2,
            words(start),
            patches,
            (T5, T5),
            calls=calls,
            guidance=guidance,
            label=label,
        )


def hidream_cases() -> Iterator[Case]:
    """HiDream: image first, padded where it is not square, then T5 and twice Llama."""

    def make() -> Any:
        transformer = diffusers.HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_channels=[WIDTH, WIDTH],
            text_emb_dim=2 * WIDTH,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(16, 16),
            llama_layers=[0, 1],
        )
        pipe = diffusers.HiDreamImagePipeline(
            FlowMatchEulerDiscreteScheduler(),
            tiny._vae(shift_factor=0.06),
            clip_encoder(projected=True),
            clip_tokenizer(CLIP),
            clip_encoder(projected=True),
            clip_tokenizer(CLIP),
            t5_encoder(),
            t5_tokenizer(CLIP),
            tiny_text.llama(),
            tiny_text.llama_tokenizer(),
            transformer.eval(),
        )
        pipe.default_sample_size = 16
        return pipe

    # The pipeline makes the image as large as its default: 24 x 36 pixels.
    call = FLOW | SIZE | {"max_sequence_length": CLIP}
    own = [list(range(6)) + [CLIP + 1 + word for word in range(5)] + [2 * CLIP + 1 + word for word in range(5)]]
    own += [list(range(3)) + [CLIP + 1 + word for word in range(2)] + [2 * CLIP + 1 + word for word in range(2)]]
    yield Case(
        "HiDreamImagePipeline", make, call, reference.hidream, shifted(own, 64), lambda layer: (6, 9), part=1, guidance=GUIDED
    )


def qwen_edit_cases() -> Iterator[Case]:
    """Qwen-Image-Edit: a picture's tokens before the prompt's, and its latents after those of the image."""

    def make() -> Any:
        base = tiny.qwen_image()
        pipe = diffusers.QwenImageEditPipeline(
            base.scheduler, base.vae, base.text_encoder, base.tokenizer, _processor(base.tokenizer), base.transformer
        )
        head, _ = pipe.prompt_template_encode.split("<|vision_start|>")
        pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(head)["input_ids"])
        return pipe

    call = {"num_inference_steps": 4, "true_cfg_scale": 5.0, "negative_prompt": ["dog", "the key"], **SIZE}
    call["image"] = PIL.Image.new("RGB", (48, 32), (200, 100, 0))
    text = words(2 + tiny_text.PICTURE_TOKENS)
    # The pipeline would encode the picture at about a megapixel.
    small = {"diffusers.pipelines.qwenimage.pipeline_qwenimage_edit.calculate_dimensions": lambda area, ratio: (48, 32, None)}
    yield Case(
        "QwenImageEditPipeline", make, call, reference.qwen, text, lambda layer: (4, 6), calls=2, guidance=GUIDED, patches=small
    )


def _processor(tokenizer: Any) -> Any:
    return tiny_text.PictureProcessor(tokenizer)


OTHERS = [
    *pixart_cases(),
    *sana_cases(),
    *kolors_cases(),
    *chroma_cases(),
    *auraflow_cases(),
    *lumina_cases(),
    *z_image_cases(),
    *flux2_cases(),
    *hidream_cases(),
    *qwen_edit_cases(),
]
