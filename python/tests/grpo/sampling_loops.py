"""Sampling loops with the interface of flow_grpo's `pipeline_with_logprob`, for SD3 and FLUX, from the pipelines' own methods.

As there, the loop has no callback. It returns the images, and latents, log-probabilities and timesteps of the window.
"""

from __future__ import annotations

from typing import Any

import torch

from diffusion_probe.reference.grpo.flow_sde import log_probability, normal_step


@torch.no_grad()
def sd3_with_logprob(
    self: Any,
    prompt: list[str] | None = None,
    num_inference_steps: int = 4,
    guidance_scale: float = 3.0,
    generator: torch.Generator | None = None,
    prompt_embeds: torch.Tensor | None = None,
    negative_prompt_embeds: torch.Tensor | None = None,
    pooled_prompt_embeds: torch.Tensor | None = None,
    negative_pooled_prompt_embeds: torch.Tensor | None = None,
    max_sequence_length: int = 48,
    noise_level: float = 0.7,
    sde_window: tuple[int, int] = (0, 2),
) -> tuple[Any, ...]:
    self._guidance_scale, self._interrupt, self._joint_attention_kwargs = guidance_scale, False, None
    embeds, negative, pooled, negative_pooled = self.encode_prompt(
        prompt=prompt,
        prompt_2=None,
        prompt_3=None,
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=negative_prompt_embeds,
        pooled_prompt_embeds=pooled_prompt_embeds,
        negative_pooled_prompt_embeds=negative_pooled_prompt_embeds,
        do_classifier_free_guidance=True,
        max_sequence_length=max_sequence_length,
    )
    text, pooled = torch.cat([negative, embeds]), torch.cat([negative_pooled, pooled])
    size = self.default_sample_size * self.vae_scale_factor
    channels = self.transformer.config.in_channels
    latents = self.prepare_latents(len(embeds), channels, size, size, text.dtype, "cpu", generator)
    self.scheduler.set_timesteps(num_inference_steps)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        both = torch.cat([x, x])
        output = self.transformer(
            hidden_states=both,
            timestep=t.expand(len(both)),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            return_dict=False,
        )[0]
        without, conditional = output.chunk(2)
        return without + guidance_scale * (conditional - without)

    latents, *trajectory = _loop(self, latents, predict, noise_level, sde_window, generator)
    latents = latents / self.vae.config.scaling_factor + self.vae.config.shift_factor
    image = self.image_processor.postprocess(self.vae.decode(latents, return_dict=False)[0], output_type="pt")
    return image, *trajectory


@torch.no_grad()
def flux_with_logprob(
    self: Any,
    prompt: list[str] | None = None,
    num_inference_steps: int = 4,
    guidance_scale: float = 3.5,
    generator: torch.Generator | None = None,
    max_sequence_length: int = 48,
    noise_level: float = 0.7,
    sde_window: tuple[int, int] = (0, 2),
) -> tuple[Any, ...]:
    self._guidance_scale, self._interrupt, self._joint_attention_kwargs = guidance_scale, False, None
    text, pooled, text_ids = self.encode_prompt(prompt=prompt, prompt_2=None, max_sequence_length=max_sequence_length)
    size = self.default_sample_size * self.vae_scale_factor
    channels = self.transformer.config.in_channels // 4
    latents, image_ids = self.prepare_latents(len(text), channels, size, size, text.dtype, "cpu", generator)
    self.scheduler.set_timesteps(num_inference_steps, mu=0.5)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.transformer(
            hidden_states=x,
            timestep=t.expand(len(x)) / 1000,
            guidance=torch.full((len(x),), guidance_scale),
            pooled_projections=pooled,
            encoder_hidden_states=text,
            txt_ids=text_ids,
            img_ids=image_ids,
            return_dict=False,
        )[0]

    latents, *trajectory = _loop(self, latents, predict, noise_level, sde_window, generator)
    latents = self._unpack_latents(latents, size, size, self.vae_scale_factor)
    latents = latents / self.vae.config.scaling_factor + self.vae.config.shift_factor
    image = self.image_processor.postprocess(self.vae.decode(latents, return_dict=False)[0], output_type="pt")
    return image, *trajectory


def _loop(pipe: Any, latents, predict, noise_level: float, window: tuple[int, int], generator) -> tuple[Any, ...]:
    """The latents at the end, and the lists of the window."""
    all_latents, log_probs, timesteps = [], [], []
    for index, t in enumerate(pipe.scheduler.timesteps):
        inside = window[0] <= index < window[1]
        step = normal_step(latents, predict(latents, t), pipe.scheduler.sigmas, index + 1, noise_level if inside else 0.0)
        if inside:
            all_latents = all_latents or [latents]
            latents = step.mean + step.std * torch.randn(latents.shape, generator=generator)
            all_latents.append(latents)
            log_probs.append(log_probability(latents, step))
            timesteps.append(t)
        else:
            latents = step.mean
    return latents, all_latents, log_probs, timesteps
