"""How the network `full` looks at the preview of the finished image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Residual
from .config import ProbeConfig


def preview_stem(config: ProbeConfig) -> nn.Sequential:
    """From the preview [batch, 3, size, size] to features [batch, width, grid / 2, grid / 2], added to those of every token."""
    stride = config.preview_size // (config.grid // 2) // 2
    return nn.Sequential(
        nn.Conv2d(3, config.width, stride, stride=stride),
        nn.ReLU(),
        nn.Conv2d(config.width, config.width, 4, stride=2, padding=1),
    )


class PreviewLook(nn.Module):
    """Each token looks where it wants in the preview: attention from tokens to the cells of an eighth of the preview's size."""

    def __init__(self, width: int, token_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.tower = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            Residual(2 * width),
            nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1),
            nn.ReLU(),
            Residual(2 * width),
        )
        self.norm = nn.LayerNorm(token_width)
        self.query = nn.Linear(token_width, token_width)
        self.key_value = nn.Linear(2 * width, 2 * token_width)
        self.out = nn.Linear(token_width, token_width)

    def forward(self, vectors: Tensor, preview: Tensor) -> Tensor:
        """Vectors [batch, tokens, token_width] with what the tokens saw in `preview` [batch, 3, size, size]."""
        cells = self.tower(preview).flatten(2).transpose(1, 2)
        query = self._heads(self.query(self.norm(vectors)))
        key, value = (self._heads(part) for part in self.key_value(cells).chunk(2, dim=2))
        attended = F.softmax(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5, dim=-1) @ value
        return vectors + self.out(attended.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        return x.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
