"""The loss of a flow that is trained with a regularizer."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.kinds.objectives import NegativeLogLikelihood
from pipeline.objective import Objective
from pipeline.seeds import generator
from pipeline.training.ranks import rank
from pipeline.training.regularizers import Regularizer


class Regularized(Objective):
    """``likelihood`` plus the penalty of ``regularizer``, in the steps in which that is due.

    Its terms are ``nll`` (published unit) and, where it was due, ``penalty``. Without gradients, as while ActNorm
    layers are set, it is the likelihood alone. Every rank draws by ``seed``, step and its own number.
    """

    def __init__(self, likelihood: NegativeLogLikelihood, regularizer: Regularizer, seed: int) -> None:
        super().__init__(likelihood.network)
        self._likelihood = [likelihood]  # in a list: as a submodule it would put the network into checkpoints twice
        self.regularizer = regularizer
        self.seed = seed

    def forward(self, target: Tensor, seen: Tensor, *extra: Tensor) -> Tensor:
        """Return a scalar for a batch, as the likelihood takes it."""
        (likelihood,) = self._likelihood
        encoded = likelihood.encode(target, seen, *extra)
        loss = likelihood.of_encoded(target, encoded).mean()
        self.terms = {"nll": loss.detach()}
        if torch.is_grad_enabled() and self.regularizer.due(self.step):
            source = generator("regularizer", self.seed, self.step, rank())
            penalty = self.regularizer(
                self.network,  # type: ignore[arg-type]
                target,
                encoded.condition,
                source,
                (encoded.z, encoded.log_det),
            )
            self.terms |= {"penalty": penalty.detach()}
            loss = loss + penalty
        return loss
