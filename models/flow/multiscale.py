"""The multi-scale flow that SRFlow, NCSR, LLFlow and paper A share, at any size, and Glow, which they grew from.

level l = squeeze, 2 x (actnorm, 1x1), K x step, then a split if l is in ``splits``
step    = actnorm, 1x1, injector, (noise coupling), coupling

Without features it is Glow: no injector, unconditional couplings, and ``transitions`` is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

from models.flow.bijection import At, Bijection, Chain
from models.flow.caps import Caps
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.conditional_net import ConditionalNet, CouplingNet
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import PERMUTATIONS, BoundedConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.place import Place
from models.flow.transforms import Transform

NOISE_CHANNELS = 3


def multiscale_flow(
    transform: Transform,
    levels: int,
    steps: int,
    hidden: int,
    feature_channels: int,
    splits: Collection[int] = (),
    noise_steps: Sequence[int] = (),
    permutation: str = "learned",
    channels: int = 3,
    caps: Caps | None = None,
    transitions: int = 2,
    net: Callable[[int, int, int, int], CouplingNet] = ConditionalNet,
) -> Chain:
    """Return the flow from ``(B, channels, H, W)`` to ``(B, channels * 4^L, H / 2^L, W / 2^L)``.

    It is conditioned by ``share({level: {"encoder": ..., "noise": ...}})``, level 1 the finest.
    ``noise_steps[l - 1]``: how many of the last steps of level l also see the noise map (NCSR's S).
    ``permutation``: of the 1x1 convolutions, a key of ``PERMUTATIONS``; "learned" becomes ours, bounded, where
    ``caps`` bounds singular values. ``caps``: bounds on the layers around the couplings; None: none, as published.
    ``transitions``: steps without coupling after each squeeze. ``net``: see ``Coupling``.
    Raises ValueError for an impossible combination of sizes.
    """
    if noise_steps and len(noise_steps) != levels:
        raise ValueError(f"noise_steps {list(noise_steps)} must have one entry per level ({levels})")
    if any(not 0 <= count <= steps for count in noise_steps):
        raise ValueError(f"noise_steps {list(noise_steps)} must lie in 0..steps ({steps})")

    caps = caps or Caps()

    def one_by_one(width: int) -> Bijection:
        if permutation == "learned" and math.isfinite(caps.singular_value):
            return BoundedConv1x1(width, caps.singular_value)
        return PERMUTATIONS[permutation](width)

    def step(width: int, sees_noise: bool) -> dict[str, Bijection]:
        layers: dict[str, Bijection] = {"actnorm": ActNorm(width, caps.actnorm_log_scale), "1x1": one_by_one(width)}
        if feature_channels:
            layers["injector"] = Injector(width, transform, feature_channels, hidden)
        if sees_noise:
            layers["noise coupling"] = Coupling(width, transform, NOISE_CHANNELS, hidden, reads="noise")
        return {**layers, "coupling": Coupling(width, transform, feature_channels, hidden, net=net)}

    def level(index: int, width: int) -> Chain:
        width *= 4
        noisy = noise_steps[index - 1] if noise_steps else 0
        layers = [_placed(Squeeze(), Place(index, 0, "squeeze"))]
        for number in range(1, transitions + 1):
            transition = {"actnorm": ActNorm(width, caps.actnorm_log_scale), "1x1": one_by_one(width)}
            layers += [_placed(layer, Place(index, number, role, True)) for role, layer in transition.items()]
        for number in range(1, steps + 1):
            roles = step(width, number > steps - noisy)
            layers += [_placed(layer, Place(index, number, role)) for role, layer in roles.items()]
        chain: list[Bijection] = [At(index, Chain(layers))]
        if index < levels:
            rest: Bijection = level(index + 1, width // 2 if index in splits else width)
            if index in splits:
                split = Split(width, rest, factor=2 ** (levels - index), caps=caps)
                rest = _placed(split, Place(index, 0, "split"))
            chain += [rest]
        return Chain(chain)

    return level(1, channels)


def _placed(layer: Bijection, place: Place) -> Bijection:
    layer.place = place
    return layer
