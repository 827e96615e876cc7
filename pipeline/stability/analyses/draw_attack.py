"""Attacks on what is certified: inputs and latents that carry draws farthest, beside the bound that holds for them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch

from pipeline.inference.sampling import latents
from pipeline.seeds import generator
from pipeline.stability.contract import PERCENT, Analysis, Found, Number
from pipeline.stability.measure.ascent import Box
from pipeline.stability.measure.bounds import OutputBound, restoration_bound
from pipeline.stability.measure.draw_attack import GOALS, attack_draws
from pipeline.stability.subject import Subject, finite_or_none

TABLE = "draw_attack.csv"
_DRAWN = 0.0  # in place of a number of standard deviations: the latents stay as they were drawn
_LATENTS = {"drawn": _DRAWN, "3_sigma": 3.0, "6_sigma": 6.0}
_INPUTS = {"near": "input nearby", "free": "any input"}
_MEMBERS = {
    f"{where}_{latent}": f"{words}, latent {'as drawn' if limit == _DRAWN else f'within {limit:g} sigma'}"
    for (where, words), (latent, limit) in itertools.product(_INPUTS.items(), _LATENTS.items())
}
_DISTANCE = "distance"
_BOUNDS = {"largest": OutputBound.value, _DISTANCE: OutputBound.distance}  # goal -> what is certain of it


class _Setting(NamedTuple):
    """Where an input and its latents may go."""

    name: str  # a key of _MEMBERS
    radius: float  # of the input
    limit: float  # of the latents, in standard deviations


@dataclasses.dataclass(frozen=True)
class DrawAttack(Analysis):
    """Signed gradient ascent on held-out inputs, within ``radius`` of them and within all of [0, 1], and on latents: as
    drawn, within 3 and within 6 standard deviations; ``steps`` of it each.

    ``pictures``: of so many, crops of ``side`` pixels of the target are attacked. ``distance``: whether two draws are
    driven apart too, which takes nearly as long as the other goals together.
    """

    name: ClassVar = "draw_attack"
    title: ClassVar = "Attack on draws"
    cost: ClassVar = "minutes"
    numbers: ClassVar = {
        "largest_<setting>": Number("Largest magnitude under attack, {}", "of range 1", members=_MEMBERS),
        "bad_share_<setting>": Number("Bad values under attack, {}", "%", factor=PERCENT, members=_MEMBERS),
        "distance_<setting>": Number("Two draws apart under attack, {}", "RMS, of range 1", members=_MEMBERS),
        "log10_bound_over_largest": Number("Certified magnitude / largest found, least", "log10", better=""),
        "log10_bound_over_distance": Number("Certified distance of two draws / largest found, least", "log10", ""),
    }
    tables: ClassVar = {
        TABLE: ("picture", "setting", "goal", "before", "after", "bound", "log10_ratio", "steps", "searched")
    }
    radius: float = 8 / 255
    steps: int = 40
    pictures: int = 2
    side: int = 64
    distance: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "pictures", "side"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 < self.radius <= 1:
            raise ValueError(f"radius must be in (0, 1], got {self.radius}")

    def run(self, subject: Subject) -> Found:
        """Return what each goal was driven to in each setting, the worst over pictures, and by how much the bounds are
        above: the least over settings and pictures.
        """
        names, _, seen = subject.crops(self.pictures, self.side)
        settings = [
            _Setting(f"{where}_{latent}", self.radius if where == "near" else 1.0, limit)
            for where, (latent, limit) in itertools.product(_INPUTS, _LATENTS.items())
        ]
        bound = restoration_bound(subject.network)
        goals = [goal for goal in GOALS if self.distance or goal != _DISTANCE]
        rows = [row for goal in goals for row in self._attacked(subject, goal, names, seen, settings, bound)]
        numbers: dict[str, float | None] = {}
        reasons: dict[str, str] = {}
        for goal, setting in itertools.product(goals, settings):
            name = f"{goal}_{setting.name}"
            found = [row["after"] for row in rows if (row["goal"], row["setting"]) == (goal, setting.name)]
            numbers[name] = None if None in found else max(found)
            if numbers[name] is None:
                reasons[name] = f"not finite ({found.count(None)} of {len(found)} pictures)"
        for goal in [goal for goal in goals if goal in _BOUNDS]:
            name = f"log10_bound_over_{goal}"
            ratios = [row["log10_ratio"] for row in rows if row["goal"] == goal]
            numbers[name] = None if None in ratios else min(ratios)
            if numbers[name] is None:
                reasons[name] = "what was found is not finite" if bound else "no bound"
        if not self.distance:
            left_out = [*(f"{_DISTANCE}_{setting.name}" for setting in settings), f"log10_bound_over_{_DISTANCE}"]
            numbers |= dict.fromkeys(left_out)
            reasons |= dict.fromkeys(left_out, "not asked for")
        return Found(numbers, reasons, {TABLE: rows}, said=_said(numbers))

    def _attacked(
        self,
        subject: Subject,
        goal: str,
        names: Sequence[str],
        seen: torch.Tensor,
        settings: Sequence[_Setting],
        bound: OutputBound | None,
    ) -> list[dict[str, Any]]:
        """Return a row per setting and picture: all of them are attacked as one batch."""
        network, kind = subject.network, subject.flow.kind
        problems = list(itertools.product(settings, names))
        shape = network.latent_shape(*seen.shape[2:])
        draws = [latents(shape, range(GOALS[goal].draws), subject.temperature, subject.seed, name) for name in names]
        z = torch.stack(draws, 1).to(seen).repeat(1, len(settings), 1, 1, 1)
        limits = z.new_tensor([setting.limit for setting, _ in problems]).view(1, -1, 1, 1, 1)
        free = limits > _DRAWN
        sides = [kind.around(seen, setting.radius) for setting in settings]
        found = attack_draws(
            network,
            GOALS[goal],
            seen.repeat(len(settings), 1, 1, 1),
            z,
            Box(*(torch.cat(side) for side in zip(*sides, strict=True))),
            Box(torch.where(free, -limits, z), torch.where(free, limits, z)),
            self.steps,
            [generator("draw_attack", subject.seed, goal, setting.name, name) for setting, name in problems],
            said=f"attack: {goal.replace('_', ' ')}",
        )
        rows = []
        for index, (setting, name) in enumerate(problems):
            latent = setting.limit or float(z[:, index].abs().max())
            after = finite_or_none(found.after[index].item())
            certain = _BOUNDS[goal](bound, latent) if bound and goal in _BOUNDS else None
            rows.append(
                {
                    "picture": name,
                    "setting": setting.name,
                    "goal": goal,
                    "before": finite_or_none(found.before[index].item()),
                    "after": after,
                    "bound": certain,
                    "log10_ratio": math.log10(certain / after) if certain and after else None,
                    "steps": int(found.steps[index]),
                    "searched": int(found.searched[index]),
                }
            )
        return rows


def _said(numbers: dict[str, float | None]) -> str:
    """Return the worst of what was found on any input."""
    worst = [numbers[f"largest_free_{latent}"] for latent in _LATENTS]
    words = ["not finite" if value is None else f"{value:.3g}" for value in worst]
    return "attacked draws: values up to " + ", ".join(
        f"{word} ({'latents as drawn' if limit == _DRAWN else f'{limit:g} sigma'})"
        for word, limit in zip(words, _LATENTS.values(), strict=True)
    )
