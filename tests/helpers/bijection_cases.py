"""The tables that the contract tests run over: every transform of models.TRANSFORMS, every bijection."""

from __future__ import annotations

import torch

from models.flow.bijection import Chain
from models.flow.caps import Caps
from models.flow.layers.actnorm import ActNorm
from models.flow.layers.coupling import Coupling, Injector
from models.flow.layers.invertible_conv import PERMUTATIONS, BoundedConv1x1
from models.flow.layers.split import Split
from models.flow.layers.squeeze import Squeeze
from models.flow.multiscale import multiscale_flow
from models.flow.transforms import TRANSFORMS, Additive, Affine, RangedAffine, Shield
from models.lab.classifier import InvertibleClassifier
from models.lab.glow import Glow, TopPrior
from models.lab.lipschitz import LipschitzNet, SpectralConv2d, update_lipschitz
from models.lab.log_det import Exact, PowerSeries, Roulette
from models.lab.logit import Logit
from models.lab.points import checkerboard_flow, depth_flow, regression_flow
from models.lab.residual import ResidualBlock, residual_flow, residual_flow_of_points
from models.lab.toy import NETS, ToyFlow
from models.restoration.low_light import LowLightFlow
from models.restoration.shielding import add_shield, ranges_of
from models.restoration.super_resolution import SuperResolutionFlow
from models.restoration.tails import Tails


def shield(inner):
    """Return a shield around ``inner`` for any number of channels, its box inside of what the tests try."""
    around = Shield(inner, 1, margin=0.5)
    pixels = torch.rand(1 + inner.parameters_per_channel, 64, generator=torch.Generator().manual_seed(0))
    around.values.fit(1.6 * pixels[:1] - 0.7, 0.0)
    around.raw.fit(2.7 * pixels[1:] - 1.5, 0.0)
    return around


PLAIN_TRANSFORMS = {
    f"{name}-{number}": transform
    for name, kind in TRANSFORMS.items()
    for number, transform in enumerate(kind.examples())
}
TRANSFORM_CASES = PLAIN_TRANSFORMS | {f"shield-{name}": shield(inner) for name, inner in PLAIN_TRANSFORMS.items()}
BATCH, SIZE, FEATURES = 2, 4, 5


def with_random_parameters(layer, spread=0.1):
    """Move every parameter away from its (often zero) start; 1x1 convolutions stay well conditioned."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            scale = 0.02 if name.endswith("weight") and parameter.ndim == 2 else spread
            parameter.add_(scale * torch.randn_like(parameter))
    update_lipschitz(layer)


def image(channels=4, size=SIZE):
    return torch.randn(BATCH, channels, size, size, dtype=torch.float64) * 0.4


def level_features(size=SIZE):
    encoder = torch.randn(BATCH, FEATURES, size, size, dtype=torch.float64)
    return {"encoder": encoder, "noise": torch.randn(BATCH, 3, size, size, dtype=torch.float64)}


def coupling(transform, reads):
    def make():
        width = FEATURES if reads == "encoder" else 3
        return Coupling(5, transform, width, hidden=6, reads=reads), level_features(), image(5)

    return make


def unconditional_coupling(transform):
    return lambda: (Coupling(5, transform, 0, hidden=6), None, image(5))


def injector(transform):
    return lambda: (Injector(4, transform, FEATURES, hidden=6), level_features(), image())


def flow(transform, permutation):
    def make():
        network = multiscale_flow(transform, 3, 1, 4, FEATURES, {1}, [0, 1, 1], permutation)
        return network, {level: level_features(8 // 2**level) for level in (1, 2, 3)}, image(3, 8)

    return make


class OfPictures(SuperResolutionFlow):
    """A tiny super-resolution flow, whose features are LR pictures."""

    def __init__(self, transform):
        size = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
        super().__init__(transform, 4, 3, 1, 16, [0, 1, 1], "learned", size)

    def share(self, features, noise=None, lr_noise=None):
        """Condition on a noise map as training does, so that the noise couplings take part."""
        return super().share(features["lr"], features["noise"], features["noise"][:, :, ::4, ::4])


def super_resolution(transform):
    def make():
        features = {"lr": torch.rand(BATCH, 3, 2, 2, dtype=torch.float64), "noise": image(3, 8)}
        return OfPictures(transform), features, image(3, 8)

    return make


def low_light(transform):
    def make():
        size = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
        network = LowLightFlow(transform, steps=1, hidden=16, permutation="learned", encoder=size)
        return network, torch.rand(BATCH, 6, 8, 8, dtype=torch.float64), image(3, 8)

    return make


def capped_flow():
    caps = Caps(prior_mean=1.0, prior_log_scale=1.0, actnorm_log_scale=2.0, singular_value=2.0)
    network = multiscale_flow(Affine(), 3, 1, 4, FEATURES, {1}, [0, 1, 1], caps=caps)
    return network, {level: level_features(8 // 2**level) for level in (1, 2, 3)}, image(3, 8)


def whole_shield(make):
    """Return what ``make`` returns, the whole flow shielded, with ranges that some values leave."""

    def shielded():
        network, features, x = make()
        add_shield(network, margin=0.2)
        network.tails = Tails(0.1, 0.3)
        for number, one in enumerate(ranges_of(network).values()):
            pixels = torch.rand(one.entries, 200, generator=torch.Generator().manual_seed(number))
            one.fit(pixels - 0.6, 0.0)
        return network, features, x

    return shielded


def toy(transform, net):
    def make():
        y = torch.randn(BATCH, 2, 1, 1, dtype=torch.float64)
        return ToyFlow(transform, depth=2, width=8, net=net), y, image(2, 1)

    return make


def glow(transform):
    return lambda: (Glow(transform, levels=2, steps=1, hidden=4), None, image(3, 8))


def classifier(transform, permutation):
    def make():
        network = InvertibleClassifier(transform, permutation, size=8, levels=2, steps=1, hidden=4, channels=1)
        return network.flow, None, image(1, 8)

    return make


def residual(log_det):
    def make():
        net = LipschitzNet(2, 6, (3, 1, 3), 0.9, (SIZE, SIZE), activation_first=False)
        for module in net:
            if isinstance(module, SpectralConv2d):  # near the identity, and the log-determinant far from 0
                torch.nn.init.dirac_(module.weight)
                torch.nn.init.constant_(module.bias, 2.0)
        return ResidualBlock(net, log_det), None, image(2)

    return make


def residual_pictures():
    network = residual_flow(1, (SIZE, SIZE), 1, 2, 4, log_det=Exact(), logit=0.05)
    return network, None, torch.rand(BATCH, 1, SIZE, SIZE, dtype=torch.float64)


BIJECTIONS = {
    "actnorm": lambda: (ActNorm(4), None, image()),
    "squeeze": lambda: (Squeeze(), None, image()),
    "tails": lambda: (Tails(0.1, 0.3), None, image()),
    "chain": lambda: (Chain([ActNorm(4), Squeeze(), ActNorm(16)]), None, image()),
    "split": lambda: (Split(4, Chain([Squeeze(), ActNorm(8)]), factor=2), None, image()),
    **{f"1x1-{name}": (lambda kind=kind: (kind(4), None, image())) for name, kind in PERMUTATIONS.items()},
    "1x1-bounded": lambda: (BoundedConv1x1(4, limit=2.0), None, image()),
    **{f"coupling-{name}": coupling(transform, "encoder") for name, transform in TRANSFORM_CASES.items()},
    **{f"noise-coupling-{name}": coupling(transform, "noise") for name, transform in PLAIN_TRANSFORMS.items()},
    **{f"unconditional-coupling-{name}": unconditional_coupling(t) for name, t in PLAIN_TRANSFORMS.items()},
    **{f"injector-{name}": injector(transform) for name, transform in TRANSFORM_CASES.items()},
    **{f"flow-{name}": flow(transform, "learned") for name, transform in PLAIN_TRANSFORMS.items()},
    "flow-capped": capped_flow,
    **{f"low-light-{name}": low_light(transform) for name, transform in PLAIN_TRANSFORMS.items()},
    "flow-fixed": flow(TRANSFORM_CASES["affine-0"], "fixed_orthogonal"),
    **{f"super-resolution-{name}": super_resolution(transform) for name, transform in PLAIN_TRANSFORMS.items()},
    **{f"toy-{net}-{name}": toy(transform, net) for name, transform in PLAIN_TRANSFORMS.items() for net in NETS},
    **{f"shielded-flow-{name}": whole_shield(super_resolution(PLAIN_TRANSFORMS[f"{name}-0"])) for name in TRANSFORMS},
    "shielded-low-light": whole_shield(low_light(Affine())),
    "logit": lambda: (Logit(), None, torch.rand(BATCH, 2, SIZE, SIZE, dtype=torch.float64)),
    "top-prior": lambda: (TopPrior(3), None, image()),
    **{f"glow-{name}": glow(TRANSFORM_CASES[name]) for name in ("additive-0", "ranged_affine-0", "affine-0")},
    "classifier-additive-shuffle": classifier(Additive(), "shuffle"),
    "classifier-affine-1x1": classifier(RangedAffine(least=0.0), "learned"),
    "residual-exact": residual(Exact()),
    "residual-series": residual(PowerSeries(terms=20, samples=400)),
    "residual-roulette": residual(Roulette(exact_terms=8, samples=400)),
    "residual-flow": residual_pictures,
    "residual-points": lambda: (residual_flow_of_points(3, 8), None, image(2, 1)),
    "checkerboard": lambda: (checkerboard_flow(RangedAffine(), 2, 8), None, image(2, 1)),
    "regression": lambda: (regression_flow(RangedAffine(), 2, 8), None, image(2, 1)),
    "depth": lambda: (depth_flow(RangedAffine(), 3), None, image(2, 1)),
}
# How far off the log-determinant (about 7 nats) may be that is a random estimate: six times the standard deviation
# (0.03) of a difference of two.
LOG_DET_TOLERANCE = {"residual-series": 0.25, "residual-roulette": 0.25}
