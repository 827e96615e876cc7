"""LPIPS of restored pictures against their reference."""

from __future__ import annotations

from pipeline.metrics.contract import Metric, NotComputable, Picture, Pixels, mean
from pipeline.metrics.lpips_net import SMALLEST, Comparison


def lpips_of(picture: Picture, images: Pixels) -> Comparison:
    """Return LPIPS of ``images`` ``(M, H, W, 3)`` against the picture's reference; NotComputable with the reason."""
    if isinstance(picture.lpips, str):
        raise NotComputable(picture.lpips)
    height, width = picture.reference.shape[:2]
    if min(height, width) < SMALLEST:
        raise NotComputable(f"LPIPS needs at least {SMALLEST} pixels a side, got {height}x{width}")
    return picture.lpips.compare(images, picture.reference)


def lpips_of_draws(picture: Picture) -> Comparison:
    """Return LPIPS of every draw against the reference."""
    return lpips_of(picture, picture.draws)


LPIPS = Metric(
    name="lpips",
    title="LPIPS (AlexNet, v0.1), averaged over the draws",
    unit="",
    better="lower",
    per_picture=lambda picture: float(picture.once(lpips_of_draws).distance.mean()),
    summarise=mean,
)
