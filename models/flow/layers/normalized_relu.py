"""ReLU behind an ActNorm as one step, h = max(0, (x + b) e^s), which keeps h and no other map for its gradient.

With g the gradient of h where h > 0, and 0 elsewhere:

    dx = g e^s,    db = sum of dx,    ds = sum of g h

since dh/ds = (x + b) e^s, which is h wherever g is not 0. Autograd would keep x + b beside h. Where x is a sum of two
maps, neither their sum nor they are kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow import written_out
from models.flow.layers.actnorm import ActNorm


def normalized_relu(x: Tensor, norm: ActNorm, beside: Tensor | None = None) -> Tensor:
    """Return ``relu(norm(x)[0])``, ``(B, C, H, W)``, the same to the bit; gradients differ by rounding.

    With ``beside``, which may be of batch 1, of ``x + beside``.
    """
    if norm.starting or not written_out.fits():
        return F.relu(norm(x if beside is None else x + beside)[0])
    with torch.autocast(x.device.type, enabled=False):
        result: Tensor = _NormalizedReLU.apply(x, beside, norm.bias, norm.capped_log_scale())
    return result


class _NormalizedReLU(torch.autograd.Function):
    """``x`` ``(B, C, H, W)``, ``beside`` the like or None, ``bias`` and ``log_scale`` ``(1, C, 1, 1)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beside: Tensor | None, bias: Tensor, log_scale: Tensor) -> Tensor:
        """Return h."""
        h = x if beside is None else x + beside
        h = h if h.dtype == torch.float64 else h.float()
        own = h is not x and h.dtype == bias.dtype  # a map that nobody else sees
        h = h.add_(bias) if own else h + bias
        h = h.mul_(log_scale.exp()).relu_()
        ctx.save_for_backward(h, log_scale)
        ctx.like = [None if part is None else (part.shape, part.dtype) for part in (x, beside)]
        return h

    @staticmethod
    def backward(ctx: Any, by_h: Tensor) -> Any:
        """Return the gradients; what is done has derivatives of its own."""
        h, log_scale = ctx.saved_tensors
        of_x, of_beside, of_bias, of_scale = ctx.needs_input_grad
        with torch.autocast(h.device.type, enabled=False):
            own = torch.ops.aten.threshold_backward(by_h, h, 0)
            by_scale = (own * h).sum((0, 2, 3), keepdim=True) if of_scale else None
            by_sum = own * log_scale.exp()
            by_bias = by_sum.sum((0, 2, 3), keepdim=True) if of_bias else None
            by_parts = (
                by_sum.sum_to_size(like[0]).to(like[1]) if wanted else None
                for like, wanted in zip(ctx.like, (of_x, of_beside), strict=True)
            )
        return *by_parts, by_bias, by_scale
