"""What the published networks store and never read, so that every tensor of a checkpoint has a place.

SRFlow and all that grew from it build these modules, and the optimizer holds them, but no forward pass reads
them; they never got a gradient. They count in the published sizes:

- one 3x3 convolution ``f`` of the flow, from 64 channels per feature map to the last level's prior;
- NCSR's noise couplings also in the steps that S excludes;
- in LLFlow's encoder one more downward convolution, the super-resolution head, and white-balance weights.
"""

from __future__ import annotations

import dataclasses

from torch import nn

from models.flow.layers.conditional_net import ConditionalNet
from models.flow.layers.coupling import Coupling
from models.flow.multiscale import NOISE_CHANNELS
from models.flow.place import Place

_ASSUMED_CHANNELS = 64  # whatever the encoder's width is
_PRIOR_CHANNELS = 2 * 3 * 64


def unread_super_resolution(flow: nn.Module, taps: int, splits: int, noise: bool, hidden: int) -> nn.ModuleDict:
    """Return the frozen, unread modules of SRFlow (``noise`` false) or NCSR, FS-NCSR and robustNF (true)."""
    unread = nn.ModuleDict({"f": _prior(taps, _PRIOR_CHANNELS // 4 if splits else _PRIOR_CHANNELS)})
    if noise:
        unread["noise"] = _excluded_noise_nets(flow, hidden)
    return unread.requires_grad_(False)


def unread_low_light(taps: int, channels: int) -> nn.ModuleDict:
    """Return the frozen, unread modules of LLFlow."""
    unread = {
        "f": _prior(taps, _PRIOR_CHANNELS),
        "down": nn.Conv2d(channels, channels, 3, padding=1),
        "hr_conv": nn.Conv2d(channels, channels, 3, padding=1),
        "last": nn.Conv2d(channels, 3, 3, padding=1),
        "white_balance": nn.Linear(channels, 3),
    }
    return nn.ModuleDict(unread).requires_grad_(False)


def _prior(taps: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(_ASSUMED_CHANNELS * (1 + taps), out_channels, 3, padding=1)


def noise_net_name(place: Place) -> str:
    """Return what the noise net that a step holds and never reads is called."""
    return f"level_{place.level}_step_{place.step}"


def _excluded_noise_nets(flow: nn.Module, hidden: int) -> nn.ModuleDict:
    """Return a net, named after its step, for every coupling of ``flow`` without a noise coupling before it."""
    couplings = {module.place: module for module in flow.modules() if isinstance(module, Coupling) and module.place}
    return nn.ModuleDict(
        {
            noise_net_name(place): ConditionalNet(
                coupling.passed,
                NOISE_CHANNELS,
                hidden,
                coupling.transform.parameters_per_channel * coupling.transformed,
            )
            for place, coupling in couplings.items()
            if place.role == "coupling" and dataclasses.replace(place, role="noise coupling") not in couplings
        }
    )
