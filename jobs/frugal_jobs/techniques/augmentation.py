"""Random changes of training images that keep their class: flip, crop, mixup. Other inputs pass unchanged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

CROP_SHARE = 0.1  # of the image's edge that a crop may shift it by
MIXUP_ALPHA = 0.2  # Zhang et al., arXiv:1710.09412


def augmented(images: Tensor, changes: Sequence[str], generator: torch.Generator) -> Tensor:
    """Return `images` (batch, channels, height, width) with `flip` and `crop` applied where asked."""
    if images.dim() != 4:
        return images
    if "flip" in changes:
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    if "crop" in changes:
        images = _shifted(images, generator)
    return images


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift the whole batch by a few pixels, zeros coming in; a batch is small, and batches differ."""
    height, width = images.shape[-2:]
    reach = max(1, round(CROP_SHARE * min(height, width)))
    down, right = (int(torch.randint(0, 2 * reach + 1, (1,), generator=generator)) for _ in range(2))
    padded = functional.pad(images, [reach] * 4)
    return padded[..., down : down + height, right : right + width]


def mixing(count: int, generator: torch.Generator) -> tuple[float, Tensor]:
    """Return (share of the sample itself, the numbers of the samples mixed in) for mixup."""
    gamma = torch._standard_gamma(torch.full((2,), MIXUP_ALPHA), generator=generator)
    share = float(gamma[0] / gamma.sum().clamp_min(1e-12))
    return max(share, 1 - share), torch.randperm(count, generator=generator)
