"""What the training loop minimizes, whatever is trained."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


class Objective(nn.Module):
    """A loss and the ``network`` that it trains: those of the network's parameters that require gradients.

    ``step`` is the optimizer step under way; the training loop sets it, for losses that change over the training.
    ``unread``: parts of the network that this loss does not depend on; they are frozen. DistributedDataParallel
    waits for the gradient of every parameter that requires one, and dies where none comes.
    """

    step: int = 0

    def __init__(self, network: nn.Module, unread: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.network = network
        for part in unread:
            part.requires_grad_(False)
