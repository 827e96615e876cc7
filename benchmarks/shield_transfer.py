"""Do attacks on shielded flows fail for want of a gradient? The same attack by other ways.

    python benchmarks/shield_transfer.py --out transfer   # models of `make repro`, minutes each
    python benchmarks/shield_transfer.py --out transfer --tasks lol --variants affine --steps 2   # does it run at all

A clamp has no gradient beyond its ends, so what climbs a shielded flow by its gradient may be lost where the flow as
trained is not (Athalye, Carlini and Wagner 2018). On the crops that the analysis `draw_attack` takes, any input in
[0, 1], what is made large is the distance of a value from mid-grey, plus 0.5: a value is bad where that is beyond 1.5.

as trained: what ``--steps`` of signed gradient find of the flow without its shield. direct: as many, of the shielded
flow, from the photograph. transferred: the input and latents that the first found, given to the shielded flow. onwards:
the direct attack from there. noise: the direct attack from ``--starts`` inputs of noise, the best; every other one is
black and white. long: five times the steps.

A row per model, with latents as drawn and within 3 standard deviations: the worse of two crops, behind the tails. They
are kept in ``--out``/transfer.csv; a value that is not finite is left empty.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from shield import attack_on
from torch import Tensor

from models.restoration.flow import RestorationFlow
from pipeline.commands.arguments import positive
from pipeline.config import SHIELDED
from pipeline.console import run_main, say
from pipeline.experiment import Experiment
from pipeline.files import write_csv
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.sampling import latents
from pipeline.layout import variant_folder
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor
from pipeline.seeds import generator
from pipeline.stability.measure.ascent import Box
from pipeline.stability.measure.draw_attack import Goal, attack_draws, largest_magnitude
from pipeline.stability.subject import Subject, finite_or_none

PICTURES = 2
WAYS = ("as trained", "direct", "transferred", "onwards", "noise", "long")
KEY = ("task", "variant", "seed", "latents")
COLUMNS = (*KEY, *(way.replace(" ", "_") for way in WAYS))
LATENTS = {"as drawn": None, "within 3 sigma": 3.0}
FAR = Goal(1, lambda x: largest_magnitude(x - 0.5) + 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(), help="where `make repro` has ended; it is only read")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default="", help="all of params.yaml")
    parser.add_argument("--variants", default="affine,bounded,rq_spline", help="%(default)s")
    parser.add_argument("--steps", type=positive, default=40, help="%(default)s")
    parser.add_argument("--starts", type=positive, default=2, help="%(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params, rows = load_params(arguments.root / "params.yaml"), []
    for task in arguments.tasks.split(",") if arguments.tasks else params.tasks:
        for variant in arguments.variants.split(","):
            chosen = Experiment.of(params, task, params.seeds[0], variant)
            trained, shielded = (
                load_flow(variant_folder(arguments.root, task, name, chosen.seed) / "model")
                for name in (variant, variant + SHIELDED)
            )
            crops = held_out_crops(arguments.root, chosen, limit=chosen.settings.stability.pictures)
            for found in attacked(trained, shielded, crops, chosen, arguments.steps, arguments.starts):
                rows.append({"task": task, "variant": variant, "seed": chosen.seed} | found)
                write_csv(arguments.out / "transfer.csv", COLUMNS, rows)
                say(", ".join(f"{name} {rows[-1][name]}" for name in COLUMNS))


def attacked(
    trained: LoadedFlow, shielded: LoadedFlow, crops, chosen: Experiment, steps: int, starts: int
) -> Iterator[dict[str, Any]]:
    """Yield per kind of latents what every way found; None where that is not finite."""
    kind, limits = trained.kind, chosen.settings.stability
    pictures = [(name, *kind.pair([to_tensor(side) for side in sides], trained.network.scale)) for name, sides in crops]
    subject = Subject(trained, pictures, [], 1, limits.temperature, chosen.seed)
    names, _, seen = subject.crops(PICTURES, attack_on(trained)["draw_attack"]["side"])
    shape = trained.network.latent_shape(*seen.shape[2:])
    z = torch.stack([latents(shape, range(1), limits.temperature, chosen.seed, name) for name in names], 1)
    inputs = Box(*kind.around(seen, 1.0))
    for words, limit in LATENTS.items():
        free = Box(z, z) if limit is None else Box(torch.full_like(z, -limit), torch.full_like(z, limit))

        def climb(network: RestorationFlow, start: tuple[Tensor, Tensor], times: int = 1, free: Box = free):
            sources = [generator("shield_transfer", chosen.seed, name) for name in names]
            return attack_draws(network, FAR, *start, inputs, free, times * steps, sources)

        def apart(point: Tensor) -> tuple[Tensor, Tensor]:
            at, latent = point.split([seen[0].numel(), z[:, 0].numel()], 1)
            return at.reshape(seen.shape), latent.reshape(z.shape[1:])[None]

        start, network = (seen, z), shielded.network
        elsewhere = apart(climb(trained.network, start).point)
        found = {
            "as_trained": climb(trained.network, start).after,
            "direct": climb(network, start).after,
            "transferred": far(network, *elsewhere),
            "onwards": climb(network, elsewhere).after,
            "noise": torch.stack([climb(network, (noise(inputs, n), z)).after for n in range(starts)]).amax(0),
            "long": climb(network, start, times=5).after,
        }
        yield {"latents": words} | {way: finite_or_none(float(each.max())) for way, each in found.items()}


@torch.no_grad()
def far(network: RestorationFlow, seen: Tensor, z: Tensor) -> Tensor:
    """Return how far from mid-grey values are, plus 0.5, per input."""
    return FAR.of(network.inverse(z[0], network.share(seen))[0])


def noise(inputs: Box, number: int) -> Tensor:
    """Return inputs at random in a box: of values in it, or where ``number`` is odd of its ends alone."""
    share = torch.rand(inputs.lower.shape, generator=generator("noise", number))
    return inputs.lower + (inputs.upper - inputs.lower) * (share.round() if number % 2 else share)


if __name__ == "__main__":
    run_main(main)
