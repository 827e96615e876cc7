"""What the training loop minimizes, whatever is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from torch import Tensor, nn


class Objective(nn.Module):
    """A loss and the ``network`` that it trains: those of the network's parameters that require gradients.

    ``step`` is the optimizer step under way; the training loop sets it, for losses that change over the training.
    ``unread``: parts of the network that this loss does not depend on; they are frozen. DistributedDataParallel
    waits for the gradient of every parameter that requires one, and dies where none comes.
    ``terms``: what the last loss is the sum of, detached scalars by name; empty where it is of one piece.
    """

    step: int = 0
    terms: Mapping[str, Tensor] = MappingProxyType({})

    def __init__(self, network: nn.Module, unread: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.network = network
        for part in unread:
            part.requires_grad_(False)
