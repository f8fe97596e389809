"""Augmentation that keeps an echo an echo: small shifts, rotations, scale and brightness, and never a flip (a view is
not mirror-symmetric)."""

import torch
import torch.nn.functional as F

MAX_SHIFT = 0.15  # of the side, at strength 1
MAX_ROTATION = 0.35  # radians
MAX_SCALE = 0.2  # relative
MAX_BRIGHTNESS = 0.3  # relative
AMOUNTS = 5  # numbers that say how an image is changed


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Change each image a little in its own way.

    Args:
        images: (B, 1, H, W) in [-1, 1], black is -1.
        strength: 0 (returned as they are) to 1.
        generator: source of the draws, on the CPU.

    Returns:
        (B, 1, H, W) in [-1, 1]; what comes in from outside the picture is black.
    """
    return changed(images, draws(len(images), generator) * strength) if strength else images


def draws(count: int, generator: torch.Generator) -> torch.Tensor:
    """(count, `AMOUNTS`) in [-1, 1]: how much each image is turned, scaled, shifted along x and y, and brightened."""
    return torch.rand(count, AMOUNTS, generator=generator) * 2 - 1


def changed(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Images (B, 1, H, W) in [-1, 1] changed by these amounts (B, `AMOUNTS`), see `draws`."""
    amounts = amounts.to(images.device)
    angle, scale = amounts[:, 0] * MAX_ROTATION, 1 + amounts[:, 1] * MAX_SCALE
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    shift = amounts[:, 2:4] * MAX_SHIFT * 2  # the grid runs from -1 to 1: two units a side
    matrix = torch.stack([torch.stack([cosine, -sine, shift[:, 0]], 1), torch.stack([sine, cosine, shift[:, 1]], 1)], 1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    light = F.grid_sample((images + 1) / 2, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    light = light * (1 + amounts[:, 4] * MAX_BRIGHTNESS).view(-1, 1, 1, 1)
    return light.clamp(0, 1) * 2 - 1
