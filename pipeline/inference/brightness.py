"""The brightness of the ground truth, which LLFlow's evaluation gives to a restoration before it is measured.

The released ``test.py`` multiplies the un-clamped output by mean(grey(target)) / mean(output). A user has no target,
so what is measured with this gain stands in columns of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The released code reads the target as RGB and converts it with OpenCV's BGR weights. We follow it, since these
# columns are there to stand beside figures that were published so.
_RGB_WEIGHTS = (0.114, 0.587, 0.299)


def brightness_gain(image: Tensor, target: Tensor) -> float | None:
    """Return by what LLFlow multiplies an un-clamped ``image`` ``(3, H, W)`` for ``target`` ``(3, H, W)`` in [0, 1].

    None where the image's mean is not a positive number: no gain makes such an image as bright as the target.
    """
    mean = float(image.double().mean())
    if not 0 < mean < float("inf"):
        return None
    weights = torch.tensor(_RGB_WEIGHTS, dtype=torch.float64, device=target.device)
    return float((target.double().mean(dim=(1, 2)) * weights).sum()) / mean
