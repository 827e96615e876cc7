"""Ranges of values that photographs were seen to produce, and smooth clamps to them.

**The box.** Per entry the identity on [low, high], continued beyond each end by m tanh(excess / m) with
m = margin (high - low): once continuously differentiable, increasing, and never outside of [low - m, high + m].

**The ellipsoid.** Photographs leave most of a box of a hundred entries empty, since the entries go together; where all
of them stand at an end at once, no photograph has been. So what the box has clamped is drawn towards the centre c:

    v -> c + (v - c) min(1, t(n) / n),   n = |W (v - c)|,   t(n) = r + m tanh((n - r) / m),   m = margin r

W whitens what photographs produce, r is the largest n among them, or a quantile of it, or a multiple of that. It is the
identity where n <= r, and differentiable once, continuously. The factor is at most 1 and c lies in the box, which is
convex: the box's limits still hold.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_MARGIN = 1e-6  # an entry that never varies still needs a positive m
_RIDGE = 1e-3  # of each variance: a direction in which photographs vary less is no safer for it


class Range(nn.Module):
    """A range for each of D entries; empty until ``fit``.

    Values are ``(B, D, h, w)``, or with D = 1 any number of channels. ``low`` and ``high`` are part of the state_dict.
    While ``recording``, some of the values that ``see`` is given are remembered.
    """

    low: Tensor
    high: Tensor

    def __init__(self, entries: int, margin: float) -> None:
        super().__init__()
        self.entries = entries
        self.margin = margin
        self.register_buffer("low", torch.zeros(entries))
        self.register_buffer("high", torch.zeros(entries))
        self._recorded: list[Tensor] | None = None
        self._places: tuple[Tensor, tuple[int, int]] | None = None  # of the pixels remembered last, in maps of a size
        self._per_batch = 0

    @property
    def recording(self) -> bool:
        """Return whether values are being remembered."""
        return self._recorded is not None

    def record(self, per_batch: int) -> None:
        """Remember up to ``per_batch`` pixels of each batch from now on, drawn by torch's generator."""
        self._recorded, self._per_batch = [], per_batch

    def forget(self, bad: Tensor) -> None:
        """Forget those pixels of the batch remembered last that stand for a picture's pixels of which any is ``bad``,
        and those that are not finite themselves: a scale's sigmoid can hide that from the picture.

        ``bad``: ``(1, 1, H, W)``, bool, of a batch of one picture, of a multiple of the size of what was seen.
        """
        if self._recorded and self._places is not None:
            places, size = self._places
            stained = F.adaptive_max_pool2d(bad.float(), size).flatten().bool().cpu()
            last = self._recorded[-1]
            self._recorded[-1] = last[:, ~stained[places] & last.isfinite().all(0)]

    def stop(self) -> Tensor:
        """Stop recording; return what was remembered, ``(D, n)`` on the CPU: n pixels."""
        recorded, self._recorded = self._recorded or [], None
        return torch.cat(recorded, 1)

    def see(self, values: Tensor) -> None:
        """Remember some pixels of ``values``, ``(B, G * D, h, w)``, if recording."""
        if self._recorded is None:
            return
        flat = values.detach().unflatten(1, (-1, self.entries)).movedim(2, 0).flatten(1)
        chosen = torch.randint(flat.shape[1], (min(self._per_batch, flat.shape[1]),), device=flat.device)
        self._recorded.append(flat[:, chosen].float().cpu())
        height, width = values.shape[2:]
        self._places = (chosen % (height * width)).cpu(), (height, width)

    @torch.no_grad()
    def fit(self, pixels: Tensor, quantile: float) -> None:
        """Let the range reach from the ``quantile`` to the 1 - ``quantile`` of each entry of ``pixels`` ``(D, n)``.

        Computed where ``pixels`` are, whatever device the range is on.
        """
        self._fit_box(pixels, quantile)

    def _fit_box(self, pixels: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
        """Fit low and high; return them, where ``pixels`` are."""
        last = pixels.shape[1] - 1
        first = min(round(quantile * last), last // 2)
        low, high = pixels.kthvalue(first + 1, 1).values, pixels.kthvalue(last - first + 1, 1).values
        self.low.copy_(low)
        self.high.copy_(high)
        return low, high

    def ends(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return low and high, shaped to broadcast against ``values`` and of its type."""
        return self.low[:, None, None].to(values.dtype), self.high[:, None, None].to(values.dtype)

    def limits(self) -> tuple[Tensor, Tensor]:
        """Return what no clamped value is below or above, ``(D,)`` each."""
        m = _width(self.low, self.high, self.margin)
        return self.low - m, self.high + m

    def clamp(self, values: Tensor) -> Tensor:
        """Return ``values`` clamped to the box."""
        return _boxed(values, *self.ends(values), self.margin)


class JointRange(Range):
    """A range for D entries of a pixel together: the box, then the ellipsoid.

    ``forward`` clamps ``(B, G * D, h, w)``, each of G groups of D neighbouring channels for itself. ``centre``,
    ``whitening`` and ``radius`` are part of the state_dict.
    """

    centre: Tensor
    whitening: Tensor
    radius: Tensor

    def __init__(self, entries: int, margin: float) -> None:
        super().__init__(entries, margin)
        self.register_buffer("centre", torch.zeros(entries))
        self.register_buffer("whitening", torch.eye(entries))
        self.register_buffer("radius", torch.zeros(()))

    @torch.no_grad()
    def fit(self, pixels: Tensor, quantile: float, beyond: float = 0.0, reach: float = 1.0, room: float = 0.0) -> None:
        """Fit the box, and an ellipsoid of their covariance's shape: ``reach`` times the least that holds ``pixels``
        ``(D, n)`` in the box, all but a share of ``beyond``. Then move each end of the box outwards by ``room`` times
        its width.

        From few pixels a covariance tells little: its diagonal is strengthened by D / n, and by a thousandth at least.
        """
        low, high = self._fit_box(pixels, quantile)
        pixels = _boxed(pixels, low[:, None], high[:, None], self.margin).double()
        centre = pixels.mean(1)
        around = pixels - centre[:, None]
        entries, count = pixels.shape
        covariance = around @ around.T / count
        least = _LEAST_MARGIN**2
        covariance += torch.diag(covariance.diagonal() * max(_RIDGE, entries / count) + least)
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
        self.centre.copy_(centre)
        self.whitening.copy_(whitening)
        norms = (whitening @ around).norm(dim=0)
        least_radius = norms.kthvalue(count - round(beyond * (count - 1))).values
        self.radius.copy_((reach * least_radius).clamp(min=_LEAST_MARGIN))
        self.low.copy_(low - room * (high - low))
        self.high.copy_(high + room * (high - low))

    def forward(self, values: Tensor) -> Tensor:
        """Return ``values``, ``(B, G * D, h, w)``, clamped; unchanged while recording."""
        if self.recording:
            self.see(values)
            return values
        with torch.autocast(values.device.type, enabled=False):
            grouped = values.unflatten(1, (-1, self.entries)).flatten(0, 1)
            return self._drawn_in(self.clamp(grouped)).view_as(values)

    def _drawn_in(self, values: Tensor) -> Tensor:
        centre, whitening, radius = (each.to(values.dtype) for each in (self.centre, self.whitening, self.radius))
        around = values - centre[:, None, None]
        squares = F.conv2d(around, whitening[:, :, None, None]).square().sum(1, keepdim=True)
        norm = squares.clamp(min=radius.square()).sqrt()
        m = self.margin * radius + _LEAST_MARGIN
        return centre[:, None, None] + around * ((radius + m * torch.tanh((norm - radius) / m)) / norm)


def _boxed(values: Tensor, low: Tensor, high: Tensor, margin: float) -> Tensor:
    inner = torch.minimum(torch.maximum(values, low), high)
    m = _width(low, high, margin)
    return inner + m * torch.tanh((values - inner) / m)


def _width(low: Tensor, high: Tensor, margin: float) -> Tensor:
    """Return m: over how much a clamp bends beyond an end."""
    return (margin * (high - low)).clamp(min=_LEAST_MARGIN)
