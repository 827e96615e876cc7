"""Networks of the published families with random weights that explode, imported, and shielded on a few photographs.

    python benchmarks/shield_published.py --out shields                 # ten small ones, a minute each
    python benchmarks/shield_published.py --out shields --networks llflow_small_full   # published size; long

Weights as torch starts them, the nets' last convolutions and priors (which start at zero) from N(0, gain^2 / inputs),
activation norms from photographs, as every training has it. The gain is raised by twentieths until a draw of a stress
input has a value of 100 or more; photographs may reach 10 there, or the network is of no use for the question
("photographs explode too"). It is written as a published checkpoint, imported, and shielded by `steadyflow shield` on
four photographs; draws at temperature 0.9. "held out": of three other photographs, decibels between draws before and
after. Rows are kept in ``--out``/published.csv; what has one is not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from kept_rows import KeptRows
from skimage import data
from sklearn.datasets import load_sample_image

from models.flow.layers.actnorm import initializing
from models.flow.layers.conditional_net import ZeroConv2d
from models.flow.transforms import Affine
from models.restoration.low_light import LowLightFlow
from models.restoration.super_resolution import SuperResolutionFlow
from pipeline.commands.shielding import shield_model
from pipeline.console import run_main, say
from pipeline.feed.darkening import darken
from pipeline.inference.reference_pairs import reference_pairs
from pipeline.inference.sampling import draw_images
from pipeline.kinds import KINDS
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.pictures.eight_bit import bad_values, to_tensor, value_statistics, write_png
from pipeline.shielding.calibration import decibels, draws_of
from pipeline.shielding.usual import QUANTILE
from pipeline.stability.stress import stress_inputs
from pipeline.upstream import import_upstream
from pipeline.upstream.mapping import published_tensors

SEED, SIDE, TEMPERATURE, STRESS_SIDE = 10, 128, 0.9, 24
EXPLODED, CALM = 100.0, 10.0
CALIBRATING = ("astronaut", "rocket", "immunohistochemistry", "flower.jpg")
HELD_OUT = ("chelsea", "coffee", "china.jpg")
KEY = ("network", "quantile")
COLUMNS = (
    *(*KEY, "values", "gain", "photographs_largest", "stress_largest", "stress_bad", "crops", "minutes"),
    *("shielded_largest", "shielded_bad", "no_tails_largest", "no_tails_bad", "bound", "held_out", "note"),
)


@dataclasses.dataclass(frozen=True)
class Published:
    """A network of a published family; sizes are ours unless said otherwise."""

    family: str
    scale: int
    seed: int = 1
    channels: int = 32
    blocks: int = 4
    growth: int = 16
    taps: tuple[int, ...] = (0, 1, 2, 3)
    steps: int = 2
    hidden: int = 32

    @property
    def label(self) -> str:
        """Return what the docs call it."""
        if self.family == "LLFlow":
            return f"LLFlow, {'four taps' if len(self.taps) == 4 else 'one tap'}"
        return f"{self.family} {self.scale}x{', other weights' if self.seed > 1 else ''}"

    @property
    def kind(self):
        return KINDS["low_light" if self.family == "LLFlow" else "super_resolution"]

    def network(self):
        encoder = {"channels": self.channels, "blocks": self.blocks, "growth": self.growth, "taps": list(self.taps)}
        common = {"permutation": "learned", "encoder": encoder, "published": True}
        if self.family == "LLFlow":
            return LowLightFlow(Affine(1e-4), self.steps, self.hidden, **common)
        levels = 3 if self.scale == 4 else 4
        noisy = [0] * (levels - 2) + [self.steps] * 2
        noise = () if self.family == "SRFlow" else noisy
        residual = self.family == "FS-NCSR"
        return SuperResolutionFlow(
            Affine(1e-4), self.scale, levels, self.steps, self.hidden, noise, residual=residual, **common
        )

    def overrides(self):
        """Return what shapes cannot tell, as a published options file would."""
        told = [f"network_G.flow.stackRRDB.blocks={list(self.taps)}"]
        return told + ([f"divide_freq={str(self.family == 'FS-NCSR').lower()}"] if "NCSR" in self.family else [])


_LOW_LIGHT = Published("LLFlow", 1)
NETWORKS = {
    "srflow_x4": Published("SRFlow", 4),
    "srflow_x4_other": Published("SRFlow", 4, seed=2),
    "srflow_x8": Published("SRFlow", 8),
    "ncsr_x4": Published("NCSR", 4),
    "ncsr_x8": Published("NCSR", 8),
    "fs_ncsr_x4": Published("FS-NCSR", 4),
    "fs_ncsr_x4_other": Published("FS-NCSR", 4, seed=2),
    "fs_ncsr_x8": Published("FS-NCSR", 8),
    "llflow": _LOW_LIGHT,
    "llflow_one_tap": dataclasses.replace(_LOW_LIGHT, taps=(1,), blocks=2),
}
FULL = {"llflow_small_full": Published("LLFlow", 1, growth=32, taps=(1,), steps=4, hidden=64)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", default=",".join(NETWORKS), help=f"%(default)s, {','.join(FULL)}")
    parser.add_argument("--quantile", type=float, default=QUANTILE, help="%(default)s")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks.split(",")) - set(NETWORKS | FULL):
        parser.error(f"--networks: {', '.join(sorted(unknown))}: none of {', '.join(NETWORKS | FULL)}")
    torch.set_num_threads(1)
    write_photographs(arguments.out)
    rows = KeptRows(arguments.out / "published.csv", KEY, COLUMNS)
    for name in arguments.networks.split(","):
        if (name, str(arguments.quantile)) in rows:
            say(f"{name}: measured before")
            continue
        found = measure(arguments.out, name, (NETWORKS | FULL)[name], arguments.quantile)
        rows.keep({"network": name} | found)
        words = (f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items())
        say(f"{name}: {', '.join(words)}")


def write_photographs(out: Path) -> None:
    """Write squares from the photographs' middles, and what low light makes of them."""
    for folder, names in (("calibrating", CALIBRATING), ("held_out", HELD_OUT)):
        for name in names:
            pixels = load_sample_image(name) if "." in name else getattr(data, name)()
            top, left = ((side - 2 * SIDE) // 2 for side in pixels.shape[:2])
            pixels = np.ascontiguousarray(pixels[top : top + 2 * SIDE, left : left + 2 * SIDE])
            write_png(out / folder / f"{name.partition('.')[0]}.png", pixels)
            write_png(out / f"{folder}_dark" / f"{name.partition('.')[0]}.png", darken(pixels, name))


def measure(out: Path, name: str, published: Published, quantile: float) -> dict:
    """Make a network explode, import it, shield it; return its row."""
    dark = published.family == "LLFlow"
    places = [(out / folder, out / f"{folder}_dark" if dark else None) for folder in ("calibrating", "held_out")]
    calibrating, held_out = (pairs_of(published, *place) for place in places)
    seen = [each for _, each in held_out]
    stress = [item.seen for item in stress_inputs(STRESS_SIDE, SEED, seen, published.kind, torch.device("cpu"))]
    photographs = [each for _, each in (*calibrating, *held_out)]
    gain, network = 0.25, None
    while network is None or most(network, stress) < EXPLODED:
        gain *= 1.05
        network = with_random_weights(published, gain, calibrating)
    calm = most(network, photographs)
    found = {"values": sum(p.numel() for p in network.parameters()), "gain": gain, "photographs_largest": calm}
    found["quantile"] = quantile
    found |= of_stress(network, stress, "stress")
    if not calm <= CALM:
        return found | {"note": "photographs explode too"}
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(published_tensors(network, "affine"), folder / "weights.pth")
    import_upstream(folder / "weights.pth", None, folder / "model", published.overrides())
    (folder / "shielded" / "config.json").unlink(missing_ok=True)
    start = time.perf_counter()
    told = shield_model(folder / "model", *places[0], folder / "shielded", quantile)
    minutes = (time.perf_counter() - start) / 60
    before, after = (load_flow(folder / one) for one in ("model", "shielded"))
    drawn = [draws_of(at_temperature(each), held_out, SEED) for each in (before, after)]
    found |= {key: told[key] for key in ("crops", "bound")} | {
        "minutes": minutes,
        "held_out": decibels(*drawn),
    }
    found |= of_stress(after.network, stress, "shielded")
    after.network.tails = None
    return found | of_stress(after.network, stress, "no_tails")


def pairs_of(published: Published, originals: Path, inputs: Path | None):
    pairs = reference_pairs(originals, inputs, published.kind, published.scale)
    return [published.kind.pair([to_tensor(side) for side in sides], published.scale) for _, sides in pairs]


@torch.no_grad()
def with_random_weights(published: Published, gain: float, pairs):
    """Return a network whose activation norms have seen the pictures."""
    torch.manual_seed(published.seed)
    network = published.network().eval()
    for module in network.modules():
        if isinstance(module, ZeroConv2d):
            weight = module.conv.weight
            weight.normal_(0.0, gain / math.sqrt(weight[0].numel()))
    with initializing(network):
        network(torch.cat([original for original, _ in pairs]), network.share(torch.cat([seen for _, seen in pairs])))
    return network


def at_temperature(flow: LoadedFlow) -> LoadedFlow:
    return dataclasses.replace(flow, config=dataclasses.replace(flow.config, temperature=TEMPERATURE))


def draw(network, inputs):
    return [torch.stack(list(draw_images(network, seen, 2, TEMPERATURE, SEED, "published"))) for seen in inputs]


def most(network, inputs) -> float:
    """Return the largest magnitude of draws; inf if one is not finite."""
    largest = float(torch.stack([images.abs().max() for images in draw(network, inputs)]).max())
    return math.inf if math.isnan(largest) else largest


def of_stress(network, inputs, name: str) -> dict:
    found = [value_statistics(images) for images in draw(network, inputs)]
    share = sum(map(bad_values, found)) / sum(one["values"] for one in found)
    return {f"{name}_largest": most(network, inputs), f"{name}_bad": share}


if __name__ == "__main__":
    run_main(main)
