"""Do attacks on shielded flows fail for want of a gradient? The same attack by ways that do not need it.

    python benchmarks/shield_transfer.py --out transfer   # models of `make repro`, minutes each
    python benchmarks/shield_transfer.py --out transfer --tasks lol --variants affine --steps 2   # does it run at all

A smooth clamp has next to no gradient far beyond its ends, so what climbs a shielded flow by its gradient may be lost
where the flow as trained is not (Athalye, Carlini and Wagner 2018, "Obfuscated gradients give a false sense of
security"). On the crops that the analysis `draw_attack` takes, any input in [0, 1], what is made large is the distance
of a value from mid-grey, plus 0.5: a value is bad where that is beyond 1.5, behind the tails.

as trained: what ``--steps`` of signed gradient find of the flow without its shield. direct: as many, of the shielded
one. straight through: the same, but clamps let gradients pass as if they were not there (that paper's BPDA).
transferred: the input and latents that the first found, given to the shielded flow; the first ends where a value is not
finite, for affine flows after a few steps. restarts: direct, from ``--starts`` inputs of noise (in low light noise of
the logs) instead of the photograph, every other one at the ends of what an input may be; the best. more steps: direct,
five times the steps, each a fifth as long.

Two rows per model, with latents as drawn and within 3 standard deviations: the worse of two crops. They are kept in
``--out``/transfer.csv, so that a run that was stopped goes on after the last model; a value that is not finite is left
empty.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from kept_rows import KeptRows
from shield import attack_on
from torch import Tensor

from models.flow.ranges import JointRange
from models.restoration.flow import RestorationFlow
from models.restoration.shielding import ranges_of
from pipeline.commands.arguments import positive
from pipeline.config import SHIELDED
from pipeline.console import run_main, say
from pipeline.experiment import Experiment
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.sampling import latents
from pipeline.layout import variant_folder
from pipeline.model_folder import load_flow
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor
from pipeline.seeds import generator
from pipeline.stability.measure.ascent import Ascent, Box
from pipeline.stability.measure.draw_attack import Goal, attack_draws, largest_magnitude
from pipeline.stability.subject import Subject, finite_or_none

PICTURES = 2
STEPS, STARTS = 40, 2
WAYS = ("as trained", "direct", "straight through", "transferred", "restarts", "more steps")
KEY = ("task", "variant", "seed", "steps", "starts", "latents")
COLUMNS = (*KEY, *(way.replace(" ", "_") for way in WAYS))
LATENTS = {"as drawn": None, "within 3 sigma": 3.0}
FAR = Goal(1, lambda x: largest_magnitude(x - 0.5) + 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(), help="where `make repro` has ended; it is only read")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", default="", help="all of params.yaml")
    parser.add_argument("--variants", default="affine,bounded,rq_spline", help="%(default)s")
    parser.add_argument("--steps", type=positive, default=STEPS, help="%(default)s")
    parser.add_argument("--starts", type=positive, default=STARTS, help="%(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params, rows = load_params(arguments.root / "params.yaml"), KeptRows(arguments.out / "transfer.csv", KEY, COLUMNS)
    tasks = arguments.tasks.split(",") if arguments.tasks else params.tasks
    for task, variant in itertools.product(tasks, arguments.variants.split(",")):
        model = (task, variant, str(params.seeds[0]), str(arguments.steps), str(arguments.starts))
        if any((*model, words) not in rows for words in LATENTS):
            chosen = Experiment.of(params, task, params.seeds[0], variant)
            for words, found in attacked(arguments.root, chosen, arguments.steps, arguments.starts):
                rows.keep(dict(zip(KEY, (*model, words), strict=True)) | found)
        for words in LATENTS:
            say(", ".join(f"{name} {value}" for name, value in rows[*model, words].items()))


def attacked(root: Path, chosen: Experiment, steps: int, starts: int) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Yield per kind of latents what every way found of a variant; None where that is not finite."""
    trained, shielded = (
        load_flow(variant_folder(root, chosen.task, name, chosen.seed) / "model")
        for name in (str(chosen.variant), f"{chosen.variant}{SHIELDED}")
    )
    crops = held_out_crops(root, chosen, limit=chosen.settings.stability.pictures)
    kind, limits = trained.kind, chosen.settings.stability
    pictures = [(name, *kind.pair([to_tensor(side) for side in sides], trained.network.scale)) for name, sides in crops]
    subject = Subject(trained, pictures, [], 1, limits.temperature, chosen.seed)
    names, _, seen = subject.crops(PICTURES, attack_on(trained)["draw_attack"]["side"])
    shape = trained.network.latent_shape(*seen.shape[2:])
    z = torch.stack([latents(shape, range(1), limits.temperature, chosen.seed, name) for name in names], 1)
    inputs = Box(*kind.around(seen, 1.0))
    for words, limit in LATENTS.items():
        free = Box(z, z) if limit is None else Box(torch.full_like(z, -limit), torch.full_like(z, limit))

        def climb(network: RestorationFlow, start: Tensor, times: int = 1, free: Box = free) -> Ascent:
            sources = [generator("shield_transfer", chosen.seed, name) for name in names]
            return attack_draws(network, FAR, start, z, inputs, free, times * steps, sources)

        found = by_every_way(trained.network, shielded.network, climb, seen, inputs, starts)
        yield words, {way: finite_or_none(float(each.max())) for way, each in found.items()}


def by_every_way(
    trained: RestorationFlow,
    shielded: RestorationFlow,
    climb: Callable[..., Ascent],
    seen: Tensor,
    inputs: Box,
    starts: int,
) -> dict[str, Tensor]:
    """Return what each way finds of every input, ``(B,)``, by its column.

    ``climb(network, start, times)``: the attack, from inputs ``start``, in ``times`` as many steps.
    """
    first = climb(trained, seen)
    with straight_through(shielded):
        through = climb(shielded, seen)
    return {
        "as_trained": first.after,
        "direct": climb(shielded, seen).after,
        "straight_through": through.after,
        "transferred": far(shielded, first.point, seen),
        "restarts": torch.stack([climb(shielded, noise(inputs, number)).after for number in range(starts)]).amax(0),
        "more_steps": climb(shielded, seen, times=5).after,
    }


class _Through(torch.autograd.Function):
    """What was clamped, with the gradient of what was given."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, clamped: Tensor) -> Tensor:
        return clamped.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


@contextlib.contextmanager
def straight_through(network: RestorationFlow) -> Iterator[None]:
    """Let gradients pass the clamps of a shielded flow unchanged; what these give back stays as it is."""

    def pass_on(clamp: JointRange, given: tuple[Tensor], clamped: Tensor) -> Tensor:
        through: Tensor = _Through.apply(given[0], clamped)
        return through

    with contextlib.ExitStack() as stack:
        for one in ranges_of(network).values():
            if isinstance(one, JointRange):
                stack.callback(one.register_forward_hook(pass_on).remove)
        yield


@torch.no_grad()
def far(network: RestorationFlow, point: Tensor, seen: Tensor) -> Tensor:
    """Return how far from mid-grey values are, plus 0.5, per input: of points of an ascent, inputs shaped as ``seen``
    and their latents in a row.
    """
    at, latent = point.split([seen[0].numel(), point.shape[1] - seen[0].numel()], 1)
    at = at.reshape(seen.shape)
    z = latent.reshape(len(seen), *network.latent_shape(*seen.shape[2:]))
    return FAR.of(network.inverse(z, network.share(at))[0])


def noise(inputs: Box, number: int) -> Tensor:
    """Return inputs at random in a box: of values in it, or where ``number`` is odd of its ends alone."""
    share = torch.rand(inputs.lower.shape, generator=generator("noise", number))
    return inputs.lower + (inputs.upper - inputs.lower) * (share.round() if number % 2 else share)


if __name__ == "__main__":
    run_main(main)
