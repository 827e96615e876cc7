"""Where a step whose gradient is written out may stand in the place of the operations that it is made of.

Those operations are what is wanted where others look into a computation: ``torch.func``, batched gradients,
forward-mode differentiation, and ``torch.compile``, which fuses them in its own way.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def fits(*tensors: Tensor) -> bool:
    """Return whether it may.

    Among ``tensors`` may be some of ``is_grads_batched``, which alone are told by what they are.
    """
    looked_into = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    batched = any(torch._C._functorch.is_legacy_batchedtensor(tensor) for tensor in tensors)
    return not looked_into and not batched and forward_ad._current_level < 0
