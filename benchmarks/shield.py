"""What a shield does to the models of `make repro`, before against after, on pictures that calibrated nothing.

    python benchmarks/shield.py                       # all tasks x affine, bounded, rq_spline; half an hour
    python benchmarks/shield.py --tasks df2k_x4 --variants affine --quantile 0.01

Run it where `make repro` has ended, or say where with --root. Calibrated on crops of the training pictures. Per model:
bad values on the audit's stress inputs at the audit's temperature, the largest value there, decibels between shielded
and unshielded draws of held-out crops (both clamped to [0, 1]), LPIPS of these draws, the largest error of a value of
held-out pictures after encoding and decoding, and the certified bound of any value at latents of 6 standard deviations.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models.restoration.flow import RestorationFlow
from pipeline.experiment import Experiment
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.sampling import draw_images
from pipeline.layout import variant_folder
from pipeline.metrics.lpips_net import load_lpips
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.params import load_params
from pipeline.pictures.eight_bit import bad_values, to_tensor, to_uint8, value_statistics
from pipeline.shielding.calibration import BUDGET, shield_flow
from pipeline.shielding.crops import prepared_crops
from pipeline.stability.stress import stress_inputs

VARIANTS = ("affine", "bounded", "rq_spline")
CROPS = 4


def main() -> None:
    """Print a table with a row per model, before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path.cwd())
    parser.add_argument("--tasks", default="")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--quantile", type=float)
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--crops", type=int, help="calibrate on the first so many crops alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(arguments.root / "params.yaml")
    before_after = ("bad %", "after", "largest", "after", "dB", "LPIPS", "after", "there and back", "after", "bound")
    table = Table("model", "q", "seconds", *before_after)
    for task in arguments.tasks.split(",") if arguments.tasks else params.tasks:
        for variant in arguments.variants.split(","):
            experiment = Experiment.of(params, task, params.seeds[0], variant)
            row = measured(arguments.root, experiment, arguments.quantile, arguments.budget, arguments.crops)
            print(task, variant, *row, flush=True)
            table.add_row(f"{task} {variant}", *row)
    Console(width=160).print(table)


def measured(root: Path, experiment: Experiment, quantile: float | None, budget: float, crops: int | None) -> list[str]:
    """Return a row of the table, without its first cell."""
    task, seed, settings = experiment.task, experiment.seed, experiment.settings
    flow = load_flow(variant_folder(root, task, str(experiment.variant), seed) / "model")
    start = time.perf_counter()
    shielded = shield_flow(flow, prepared_crops(root, experiment)[:crops], seed, quantile, budget)
    seconds = time.perf_counter() - start
    held_out = held_out_crops(root, experiment, limit=CROPS)
    pairs = [flow.kind.pair([to_tensor(side) for side in sides], flow.network.scale) for _, sides in held_out]
    stress = stress_inputs(
        settings.stability.stress_size, seed, [seen for _, seen in pairs], flow.kind, torch.device("cpu")
    )
    hot = settings.stability.temperature
    figures = [
        of_stress([draws(one, item.seen, 2, hot, seed, item.name) for item in stress]) for one in (flow, shielded)
    ]
    names = [name for name, _ in held_out]
    tau = settings.sampling.temperature
    drawn = [
        [draws(one, seen, 2, tau, seed, name).clamp(0.0, 1.0) for name, (_, seen) in zip(names, pairs, strict=True)]
        for one in (flow, shielded)
    ]
    error = torch.cat([(a - b).square().flatten() for a, b in zip(*drawn, strict=True)]).double().mean()
    lpips = [distance(images, [target for target, _ in pairs]) for images in drawn]
    (bad, most), (bad_after, most_after) = figures
    config: dict[str, Any] = shielded.config.shield or {}
    cells = [f"{config['quantile']:g}", f"{seconds:.0f}", f"{bad:.4g}", f"{bad_after:.4g}"]
    cells += [f"{most:.3g}", f"{most_after:.3g}", f"{-10 * math.log10(max(float(error), 1e-12)):.1f}"]
    errors = [there_and_back(one.network, pairs) for one in (flow, shielded)]
    bound = "none" if config["bound"] is None else f"{config['bound']:.3g}"
    return [*cells, *(f"{value:.4f}" for value in lpips), *(f"{value:.2g}" for value in errors), bound]


def draws(flow: LoadedFlow, seen: Tensor, count: int, temperature: float, seed: int, name: str) -> Tensor:
    """Return un-clamped draws, ``(count, 3, H, W)``."""
    return torch.stack(list(draw_images(flow.network, seen, count, temperature, seed, name)))


@torch.no_grad()
def there_and_back(network: RestorationFlow, pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the largest error of any value of the originals after encoding and decoding, in float32."""
    errors = []
    for original, seen in pairs:
        condition = network.share(seen)
        back, _ = network.inverse(network(original, condition)[0], condition)
        errors.append((back - original).abs().max())
    return float(torch.stack(errors).max())  # NaN if one is, which Python's max would drop


def of_stress(images: Sequence[Tensor]) -> tuple[float, float]:
    """Return the share of bad values in percent, and the largest magnitude."""
    found = [value_statistics(image) for image in images]
    bad = sum(map(bad_values, found))
    largest = torch.stack([image.abs().max() for image in images]).max()
    return 100.0 * bad / sum(one["values"] for one in found), float(largest)


def distance(images: Sequence[Tensor], targets: Sequence[Tensor]) -> float:
    """Return the mean LPIPS of all draws against their originals."""
    net = load_lpips()
    found = [
        net.compare(
            torch.stack([torch.from_numpy(to_uint8(i, "floor")) for i in drawn]).numpy(), to_uint8(t[0], "round")
        )
        for drawn, t in zip(images, targets, strict=True)
    ]
    return float(sum(one.distance.mean() for one in found) / len(found))


if __name__ == "__main__":
    main()
