"""What paper A's spline and the certified one share: two bins with a free knot, then a shift; and how it is computed.

A kind of spline says how raw parameters become the knot (x_k, y_k), its slope and the shift, and how gradients go back.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from models.flow import written_out
from models.flow.transforms import in_pieces, two_bins
from models.flow.transforms.transform import Transform


@dataclasses.dataclass(frozen=True)
class TwoBinSpline(Transform):
    """y = c(x; w, h, v) + t on the box (-bound, bound); raw parameters per channel: w, h, v, t."""

    parameters_per_channel: ClassVar[int] = 4
    shift_place: ClassVar[int] = 3
    bound: float = 0.5

    def plainly(self, x: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """Return what ``forward`` or ``inverse`` returns, as operations that autograd and compilers look into."""
        return super()._evaluate(x, h, inverse)

    def _evaluate(self, x: Tensor, h: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        if not written_out.fits():
            return self.plainly(x, h, inverse)
        y, log_derivative = in_pieces.InPieces.apply(self, inverse, x, h.expand(x.shape[0], *h.shape[1:]))
        return y, log_derivative

    def _knot(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the knot's place and slope."""
        return self._knot_of(*self._squashed(w, h, v))

    @abstractmethod
    def _squashed(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a function of each, which has bounds."""

    @abstractmethod
    def _knot_of(self, w: Tensor, h: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the knot's place and slope, from what ``_squashed`` returned."""

    @abstractmethod
    def _shift(self, t: Tensor) -> Tensor:
        """Return the shift."""

    @abstractmethod
    def _to_raw(
        self, raw: Sequence[Tensor], squashed: Sequence[Tensor], slope: Tensor, by: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Return the gradients of the raw parameters, given those of the knot's x, y and slope, and of the shift.

        ``squashed``: of ``_squashed``. ``slope``: the knot's.
        """

    def _forward(self, x: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        w, h, v, t = raw
        y, log_derivative = two_bins.forward(x, self.bound, *self._knot(w, h, v))
        return y.add_(self._shift(t)), log_derivative

    def _inverse(self, y: Tensor, *raw: Tensor) -> tuple[Tensor, Tensor]:
        w, h, v, t = raw
        return two_bins.inverse(y - self._shift(t), self.bound, *self._knot(w, h, v))

    def _pull(
        self, value: Tensor, raw: Sequence[Tensor], by_value: Tensor, by_log: Tensor, inverse: bool
    ) -> tuple[Tensor, ...]:
        """Return the gradients of the input ``value`` and the raw parameters, given those of what it became."""
        squashed = self._squashed(*raw[:3])
        x = value - self._shift(raw[3]) if inverse else value
        knot = self._knot_of(*squashed)
        of_input, *of_knot = two_bins.pull(x, self.bound, knot, by_value, by_log, inverse)
        return of_input, *self._to_raw(raw, squashed, knot[2], of_knot)
