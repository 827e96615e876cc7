"""ReLU behind an ActNorm as one step, h = max(0, (x + b) e^s), which keeps h and no other map for its gradient.

With g the gradient of h where h > 0, and 0 elsewhere:

    dx = g e^s,    db = sum of dx,    ds = sum of g h

since dh/ds = (x + b) e^s, which is h wherever g is not 0. Autograd would keep x + b beside h.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.flow import written_out
from models.flow.layers.actnorm import ActNorm


def normalized_relu(x: Tensor, norm: ActNorm) -> Tensor:
    """Return ``relu(norm(x)[0])``, ``(B, C, H, W)``, the same to the bit; gradients differ by rounding."""
    if norm.starting or not written_out.fits():
        return F.relu(norm(x)[0])
    with torch.autocast(x.device.type, enabled=False):
        x = x if x.dtype == torch.float64 else x.float()
        result: Tensor = _NormalizedReLU.apply(x, norm.bias, norm.capped_log_scale())
    return result


class _NormalizedReLU(torch.autograd.Function):
    """``x`` ``(B, C, H, W)``, ``bias`` and ``log_scale`` ``(1, C, 1, 1)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, log_scale: Tensor) -> Tensor:
        """Return h."""
        h = (x + bias).mul_(log_scale.exp()).relu_()
        ctx.save_for_backward(h, log_scale)
        return h

    @staticmethod
    def backward(ctx: Any, by_h: Tensor) -> Any:
        """Return the gradients; what is done has derivatives of its own."""
        h, log_scale = ctx.saved_tensors
        with torch.autocast(h.device.type, enabled=False):
            own = torch.ops.aten.threshold_backward(by_h, h, 0)
            by_scale = (own * h).sum((0, 2, 3), keepdim=True) if ctx.needs_input_grad[2] else None
            by_x = own * log_scale.exp()
            by_bias = by_x.sum((0, 2, 3), keepdim=True) if ctx.needs_input_grad[1] else None
        return by_x, by_bias, by_scale
