"""Published networks for the tests of the import: what they are, and weights that a formula gives.

tests/published_networks.json holds what the published code itself said of the same networks with the same
weights and pictures: how many tensors and values, a CRC-32 of all names and shapes, and for the tiny ones nll,
log-determinants and the temperature-0 sample. (The commits: SRFlow 5a007ad, NCSR 85bdaff, FS-NCSR 75cd739,
robustNF ff102d5, LLFlow 115da16; torch 2, float32.)
"""

import dataclasses
import functools
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
import yaml

from models.flow.transforms import Affine, RationalQuadraticSpline
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow
from pipeline.upstream.mapping import published_tensors

PUBLISHED = json.loads((Path(__file__).parent / "published_networks.json").read_text(encoding="utf-8"))


def uniform(key, count):
    """Return ``count`` numbers in [0, 1) that depend on ``key`` alone: a counter, mixed by integer arithmetic."""
    x = np.arange(count, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(zlib.crc32(key.encode()))
    for shift, factor in ((16, 2246822519), (13, 3266489917), (16, 1)):
        x &= np.uint64(0xFFFFFFFF)
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    return x.astype(np.float64) / 2**32


def picture(key, *shape):
    return torch.from_numpy(uniform(key, math.prod(shape)).reshape(shape)).float()


def filled(key, shape):
    """Return the published tensor ``key``: 1x1 convolutions orthogonal, all else uniform around zero."""
    if ".invconv." in key:
        side = shape[0]
        a = 2 * uniform(key.replace("_transpose", ""), side * side).reshape(side, side) - 1
        a = (a - a.T) / math.sqrt(side)
        q = np.linalg.solve(np.eye(side) + a, np.eye(side) - a)
        return torch.from_numpy((q.T if key.endswith("_transpose") else q).reshape(shape).copy()).float()
    if len(shape) < 2 or shape[0] == 1 or key.endswith("logs"):
        size = 0.1
    else:
        size = math.sqrt(3 / math.prod(shape[1:])) * (0.3 if key.endswith(".4.weight") or ".conv.weight" in key else 1)
    return torch.from_numpy(size * (2 * uniform(key, math.prod(shape)).reshape(shape) - 1)).float()


@dataclasses.dataclass(frozen=True)
class Case:
    """A published network: its family and the sizes that its options file names."""

    family: str
    scale: int
    channels: int = 64
    blocks: int = 4
    growth: int = 8
    taps: tuple = (0, 1, 2, 3)
    steps: int = 2
    hidden: int = 8
    noise_steps: tuple = ()
    spline: bool = False
    eps: float | None = None
    fixed: bool = False

    @property
    def levels(self):
        return 4 if self.scale == 8 else 3

    @property
    def residual(self):
        return self.family in ("FS-NCSR", "robustNF")

    def network(self):
        """Return our network of this size; on the meta device if that is the default one."""
        transform = RationalQuadraticSpline() if self.spline else Affine(self.eps or 1e-4)
        encoder = {"channels": self.channels, "blocks": self.blocks, "growth": self.growth, "taps": list(self.taps)}
        if self.family == "LLFlow":
            return LowLightFlow(transform, self.steps, self.hidden, "learned", encoder, published=True)
        return SuperResolutionFlow(
            transform,
            self.scale,
            self.levels,
            self.steps,
            self.hidden,
            self.noise_steps,
            "fixed_orthogonal" if self.fixed else "learned",
            encoder,
            published=True,
            residual=self.residual,
        )

    def shapes(self):
        """Return the published names and shapes, as tensors without values."""
        # families of equal shapes share one answer: a full-size network takes seconds
        return _shapes(dataclasses.replace(self, family="LLFlow" if self.family == "LLFlow" else "any", eps=None))

    def weights(self):
        return {key: filled(key, tuple(tensor.shape)) for key, tensor in self.shapes().items()}

    def options(self):
        """Return the options as a tree; growth is a constant of the published code."""
        classes = {"SRFlow": "SRFlowNet", "LLFlow": "LLFlow"}
        affine = {"hidden_channels": self.hidden} | ({"eps": self.eps} if self.eps else {})
        flow = {
            "K": self.steps,
            "L": self.levels,
            "coupling": "CondRQsplineSeparatedAndCond" if self.spline else "CondAffineSeparatedAndCond",
            "CondAffineSeparatedAndCond": affine,
            "additionalFlowNoAffine": 2,
            "split": {"enable": self.family != "LLFlow"},
            "fea_up0": True,
            "stackRRDB": {"blocks": list(self.taps), "concat": True},
        }
        flow |= {"S": list(self.noise_steps), "std_channels": 3} if self.noise_steps else {}
        flow |= {"permutation_train": False} if self.fixed else {}
        network = {"which_model_G": classes.get(self.family, "NCSRNet"), "in_nc": 3, "out_nc": 3}
        network |= {"nf": self.channels, "nb": self.blocks, "flow": flow}
        tree = {"scale": self.scale, "network_G": network}
        return tree | ({"divide_freq": True} if self.residual else {})

    def write(self, folder):
        """Write checkpoint and options file; return their paths."""
        torch.save(self.weights(), folder / "weights.pth")
        (folder / "options.yml").write_text(yaml.safe_dump(self.options()), encoding="utf-8")
        return folder / "weights.pth", folder / "options.yml"

    def pictures(self):
        """Return HR, the network's input, and NCSR's noise on both, as the published code was given them."""
        height, width = (64, 96) if self.scale == 8 else (32, 48)
        hr, small = picture("hr", 2, 3, height, width), (2, 3, height // self.scale, width // self.scale)
        lr = picture("lr", *small)
        if self.family == "LLFlow":
            low = torch.log(torch.clamp(0.2 * picture("low", *small) + 1e-3, min=1e-3))
            lr = torch.cat([low, picture("equalized", *small)], 1)
        noise, lr_noise = picture("noise", 2, 3, height, width), picture("lr_noise", *lr.shape)
        return hr, lr, noise - 0.5, lr_noise - 0.5


@functools.cache
def _shapes(case):
    with torch.device("meta"):
        return published_tensors(case.network(), "rational_quadratic_spline" if case.spline else "affine")


_NOISE = {4: (0, 1, 2), 8: (0, 0, 1, 2)}
TINY = {
    "srflow_x4": Case("SRFlow", 4),
    "srflow_x8": Case("SRFlow", 8),
    "ncsr_x4": Case("NCSR", 4, noise_steps=_NOISE[4]),
    "ncsr_x8": Case("NCSR", 8, noise_steps=_NOISE[8]),
    "fs_ncsr_x4": Case("FS-NCSR", 4, noise_steps=_NOISE[4]),
    "fs_ncsr_x8": Case("FS-NCSR", 8, noise_steps=_NOISE[8]),
    "robustnf_affine_x4": Case("robustNF", 4, noise_steps=_NOISE[4], eps=0.1),
    "robustnf_affine_x8": Case("robustNF", 8, noise_steps=_NOISE[8], eps=0.1),
    "robustnf_affine_fixed_x8": Case("robustNF", 8, noise_steps=_NOISE[8], eps=0.1, fixed=True),
    "robustnf_spline_x4": Case("robustNF", 4, noise_steps=_NOISE[4], spline=True),
    "robustnf_spline_x8": Case("robustNF", 8, noise_steps=_NOISE[8], spline=True),
    "robustnf_spline_fixed_x8": Case("robustNF", 8, noise_steps=_NOISE[8], spline=True, fixed=True),
    "llflow": Case("LLFlow", 1, channels=8, blocks=2, taps=(1,)),
    "llflow_large": Case("LLFlow", 1, channels=8),  # four taps, as the large one has
}

_RRDB = {"blocks": 23, "growth": 32, "taps": (1, 8, 15, 22), "hidden": 64}
_X4 = {"scale": 4, **_RRDB, "steps": 16}
_X8 = {"scale": 8, **_RRDB, "steps": 20}
_NOISE_X4, _NOISE_X8 = {**_X4, "noise_steps": (0, 16, 16)}, {**_X8, "noise_steps": (0, 0, 16, 16)}
FULL = {
    "srflow_x4": Case("SRFlow", **_X4),
    "srflow_x8": Case("SRFlow", **{**_X8, "steps": 16, "taps": (1, 3, 5, 7)}),
    "srflow_celeba_x8": Case("SRFlow", **{**_X8, "steps": 16, "blocks": 8, "taps": (1, 3, 5, 7)}),
    "ncsr_x4": Case("NCSR", **_NOISE_X4),
    "ncsr_x8": Case("NCSR", **_NOISE_X8),
    "fs_ncsr_x4": Case("FS-NCSR", **_NOISE_X4),
    "fs_ncsr_x8": Case("FS-NCSR", **_NOISE_X8),
    "robustnf_affine_x4": Case("robustNF", **_NOISE_X4, eps=0.1),
    "robustnf_affine_fixed_x4": Case("robustNF", **_NOISE_X4, eps=0.1, fixed=True),
    "robustnf_spline_x4": Case("robustNF", **_NOISE_X4, spline=True),
    "robustnf_spline_fixed_x4": Case("robustNF", **_NOISE_X4, spline=True, fixed=True),
    "robustnf_affine_x8": Case("robustNF", **_NOISE_X8, eps=0.1),
    "robustnf_affine_fixed_x8": Case("robustNF", **_NOISE_X8, eps=0.1, fixed=True),
    "robustnf_spline_x8": Case("robustNF", **_NOISE_X8, spline=True),
    "robustnf_spline_fixed_x8": Case("robustNF", **_NOISE_X8, spline=True, fixed=True),
    "llflow": Case("LLFlow", 1, blocks=24, growth=32, taps=(1, 3, 5, 7), steps=12, hidden=64),
    "llflow_small": Case("LLFlow", 1, channels=32, blocks=4, growth=32, taps=(1,), steps=4, hidden=64),
}


def crc32(tensors):
    """Return the CRC-32 of all names and shapes."""
    lines = sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in tensors.items())
    return zlib.crc32("\n".join(lines).encode())
