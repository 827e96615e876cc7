"""The shield around a whole flow: every conditional map, Split's priors, the encoder's features, low light's input, and
the tails of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.split import Split
from models.flow.ranges import JointRange, Range
from models.flow.transforms import Shield
from models.restoration.encoders.low_light import INPUT_CHANNELS, LEVELS
from models.restoration.flow import RestorationFlow
from models.restoration.low_light import LowLightFlow

# A clamp of values costs draws the less the coarser its level, and holds back as much; one of parameters costs draws
# more than one of values. Of what the encoder sees and says no entry alone is clamped to a quantile: that costs most of
# all, and the ellipsoid of models/flow/ranges.py does its work (docs/shield.md).
_COARSER = 2.0
_MOST = 0.4


class Tightness(NamedTuple):
    """How closely a shield holds to what photographs produced, and to the range of pictures."""

    values: float  # times the quantile: the share of values that is clamped at each end at the finest level
    parameters: float  # times the quantile: of raw parameters and priors at each end, and beyond every ellipsoid
    room: float  # of the box of raw parameters and priors, at each end: 0 is to what photographs produced
    reach: float  # of the ellipsoid of raw parameters and priors: 1 is to what photographs produced
    slope: float  # of the picture's tails


# Where the flow makes a whole picture, values are held most, and parameters to little more than what was seen of each
# alone, and together half as far again: dark pictures that calibrated nothing have values and combinations that no
# other has. Latents that somebody chooses reach farther by that, and the tails are flatter for it. Where it makes what
# is added to an enlarged picture, a clamp of values costs the likelihood of photographs; they are held less, parameters
# more.
_OF_PICTURES = Tightness(values=1.0, parameters=0.0, room=0.1, reach=1.5, slope=0.08)
_OF_RESIDUALS = Tightness(values=0.3, parameters=0.05, room=0.0, reach=1.0, slope=0.1)
_SLACK = 0.1  # of the tails


def add_shield(network: RestorationFlow, margin: float) -> None:
    """Put ranges around all that depends on the input, in place and where ``network`` is; they are empty until each has
    been ``fit``.

    ``margin``: of every clamp, see models/flow/ranges.py. ValueError if it has a shield.
    """
    if network.feature_ranges is not None:
        raise ValueError("this flow has a shield already")
    with next(network.parameters()).device:
        _add_ranges(network, margin)


def _add_ranges(network: RestorationFlow, margin: float) -> None:
    for module in list(network.modules()):
        if isinstance(module, Coupling | Injector):
            module.transform = Shield(module.transform, module.transformed, margin)  # type: ignore[arg-type]
        if isinstance(module, Split):
            module.prior_range = JointRange(2 * module.consumed, margin)
    width: int = network.encoder.feature_channels  # type: ignore[assignment]
    ranges = {str(level): JointRange(width, margin) for level in range(1, _levels(network) + 1)}
    if isinstance(network, LowLightFlow):
        ranges["mean"] = JointRange(3, margin)
        ranges["input"] = JointRange(INPUT_CHANNELS * network.multiple**2, margin)
    network.feature_ranges = nn.ModuleDict(ranges)


def ranges_of(network: nn.Module) -> dict[str, Range]:
    """Return every range in ``network`` by its name."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Range)}


def fit_shield(network: RestorationFlow, pixels: Mapping[str, Tensor], quantile: float) -> None:
    """Fit every range to the pixels that it has seen, by its name, ``(D, n)``; see ``Range.record``.

    ``quantile``: what share of the values is clamped at each end at the finest level, 0 or more and less than a half.
    Where the flow's output is added to an enlarged picture it is 0.3 of it, and a twentieth of it is the share of the
    parameters that is clamped; elsewhere all parameters that were seen are left as they are, and some beyond them.
    """
    tightness = tightness_of(network)
    finest, share = quantile * tightness.values, quantile * tightness.parameters
    values = {
        f"{name}.transform.values": finest * _COARSER ** (module.place.level - 1 if module.place else 0)
        for name, module in network.named_modules()
        if isinstance(module, Coupling | Injector)
    }
    for name, one in ranges_of(network).items():
        if not isinstance(one, JointRange):
            one.fit(pixels[name], min(values[name], _MOST))
        elif name.startswith("feature_ranges"):
            one.fit(pixels[name], 0.0, share)
        else:
            one.fit(pixels[name], share, share, tightness.reach, tightness.room)


def usual_tails(network: RestorationFlow) -> dict[str, float]:
    """Return slack and slope of the ``Tails`` that go with the shield of ``network``."""
    return {"slack": _SLACK, "slope": tightness_of(network).slope}


def tightness_of(network: RestorationFlow) -> Tightness:
    """Return how closely the shield of ``network`` holds."""
    return _OF_RESIDUALS if getattr(network, "residual", False) else _OF_PICTURES


def _levels(network: RestorationFlow) -> int:
    return LEVELS if isinstance(network, LowLightFlow) else network.levels  # type: ignore[return-value]
