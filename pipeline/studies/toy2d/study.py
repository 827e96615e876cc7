"""Paper A's toy experiment (section 4.1): what a coupling does with conditions that nobody has seen, and its price."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pipeline.console import console, say
from pipeline.errors import ConfigError
from pipeline.files import write_bytes, write_csv, write_json
from pipeline.studies.contract import Study, at_least_one, chosen, option

if TYPE_CHECKING:
    from pipeline.reporting.study_page import StudyPage
    from pipeline.studies.lab import Lab
    from pipeline.studies.trial import Trial

HELD_OUT = 10_000  # pairs; as many samples
SHIFT_COLUMNS = ("variant", "net", "seed", "size", "direction", "variance_ratio", "outside", "nonfinite")


class Variant(NamedTuple):
    """What is compared: an entry of models.TRANSFORMS and its options."""

    transform: str
    options: dict[str, float]


VARIANTS: dict[str, Variant] = {
    "affine": Variant("affine", {"eps": 1e-4}),
    "bounded": Variant("affine", {"eps": 0.1}),
    "rq_spline": Variant("rational_quadratic_spline", {"bound": 0.5, "eps": 1e-3}),
    # a shift of 100 is as good as free: it shows what L costs by itself
    **{
        f"certified_L{lipschitz:g}_t{shift:g}": Variant(
            "certified_spline", {"bound": 0.5, "lipschitz": lipschitz, "shift": shift}
        )
        for lipschitz in (2.0, 4.0, 10.0)
        for shift in (0.1, 0.3, 1.0, 100.0)
    },
}
MEASURES = (
    "nll",
    "variance_ratio",
    "outside",
    "outside_in_distribution",
    "nonfinite",
    "reconstruction",
    "latent_round_trip",
)
_COLUMNS = ("variant", "seed", *MEASURES)
_TRACKED = (*(f"{measure}_median" for measure in MEASURES), "exploded", "left")  # metrics of a variant's run


@dataclasses.dataclass(frozen=True)
class Toy2d(Study):
    """The toy experiment's options; the paper's are 8,000 iterations, batch 1,000, rate 5e-4, constant."""

    name: ClassVar[str] = "toy2d"
    title: ClassVar[str] = "paper A's 2D toy: nll, and samples for unusual conditions, per coupling and seed"

    seeds: int = option(4, "flows per variant")
    iterations: int = option(1200, "steps of Adam")
    batch: int = option(250, "points per step")
    learning_rate: float = option(3e-3, "of the first step")
    schedule: str = option("cosine", "of the learning rate: cosine or constant")
    depth: int = option(4, "steps of the flow")
    width: int = option(64, "of the four hidden layers of every coupling's net")
    net: str = option("plain", "plain, or normalized as in the paper's released code")
    variants: str = option(",".join(VARIANTS), "which ones, separated by commas")
    both_nets: str = option(
        "affine,bounded,rq_spline,certified_L4_t0.3",
        "those of them to train with the other net, too, to shift and to draw",
    )
    other_rate: float = option(1e-3, "of the first step of those with the other net")

    def check(self) -> None:
        """Raise ConfigError for a wrong option."""
        from models.lab.toy import NETS
        from pipeline.studies.toy2d.training import SCHEDULES

        at_least_one(self, "seeds", "iterations", "batch", "depth", "width")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ConfigError(f"--learning-rate: {self.learning_rate} is not a finite number > 0")
        if not (math.isfinite(self.other_rate) and self.other_rate > 0):
            raise ConfigError(f"--other-rate: {self.other_rate} is not a finite number > 0")
        chosen(self, "net", NETS)
        chosen(self, "schedule", SCHEDULES)
        names = chosen(self, "variants", VARIANTS)
        if not any(name in names for name in chosen(self, "both_nets", VARIANTS)):
            raise ConfigError(f"--both-nets: none of {self.both_nets} is among --variants {self.variants}; name one")

    def run(self, lab: Lab) -> StudyPage:
        """Train and measure every variant; write its tables (results, shifts, layers) and five figures."""
        from models.lab.toy import NETS

        names, drawn = list(chosen(self, "variants", VARIANTS)), chosen(self, "both_nets", VARIANTS)
        other = next(net for net in NETS if net != self.net)
        both = [name for name in names if name in drawn]
        tags = [{"variant": name, "net": self.net} for name in names] + [{"variant": v, "net": other} for v in both]
        found = lab.trials(functools.partial(_train_and_measure, self), tags)
        return self._page(lab, found, [one for one in found if one["variant"] in both])

    def _page(self, lab: Lab, trials: Sequence[dict[str, Any]], both: Sequence[dict[str, Any]]) -> StudyPage:
        from pipeline.reporting.style import to_png
        from pipeline.studies.toy2d import figures as toy_figures
        from pipeline.studies.toy2d import problem as toy_problem
        from pipeline.studies.toy2d.curves import curves
        from pipeline.studies.toy2d.layers import COLUMNS as LAYER_COLUMNS
        from pipeline.studies.toy2d.page import page
        from pipeline.studies.toy2d.shifts import frequencies

        out = lab.out
        x, y = toy_problem.held_out(HELD_OUT)
        exact = toy_problem.exact_nll(x, y)
        rows = [{"variant": one["variant"], **row} for one in trials if one["net"] == self.net for row in one["runs"]]
        by_shift = _rows_of(both, "shifts")
        often = frequencies(by_shift)
        by_layer = _rows_of(both, "layers")
        write_csv(out / "shifts.csv", SHIFT_COLUMNS, by_shift)
        write_csv(out / "layers.csv", LAYER_COLUMNS, by_layer)
        write_csv(out / "results.csv", _COLUMNS, rows)
        found = summary(rows)
        write_json(
            out / "results.json",
            {
                "format": 1,
                "study": "toy2d",
                "options": dataclasses.asdict(self),
                "held_out": HELD_OUT,
                "exact_nll": exact,
                "runs": rows,
                "summary": found,
            },
        )
        clouds = {(one["net"], one["variant"]): toy_figures.clouds_of(one["samples"]) for one in both}
        write_bytes(out / "samples.png", to_png(toy_figures.samples(clouds, x, y)))
        write_bytes(out / "explosions.png", to_png(toy_figures.explosions(often)))
        write_bytes(out / "layers.png", to_png(toy_figures.layers(by_layer)))
        write_bytes(out / "curves.png", to_png(curves()))
        write_bytes(out / "nll.png", to_png(toy_figures.price(found, exact)))
        _print(found, exact, self.seeds)
        sizes = f"{self.seeds} seeds of {self.iterations:,} steps at batch {self.batch}"
        return page(self.name, sizes, self.net, found, exact, often, _rows_of(both, "runs"), by_layer)


def _rows_of(trials: Sequence[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [{"variant": one["variant"], "net": one["net"], **row} for one in trials for row in one[part]]


def _astray(run: Mapping[str, Any]) -> tuple[float, float]:
    ratio = run["variance_ratio"]
    return run["outside"], math.inf if ratio is None else ratio


def _train_and_measure(study: Toy2d, trial: Trial) -> dict[str, Any]:
    """Return the measures of all seeds of a variant with a net, and samples of the one that goes farthest astray."""
    from models.flow.transforms import TRANSFORMS
    from models.lab.toy import ToyFlow
    from pipeline.studies.toy2d import figures as toy_figures
    from pipeline.studies.toy2d import problem as toy_problem
    from pipeline.studies.toy2d import training as toy_training
    from pipeline.studies.toy2d.layers import layer_variances
    from pipeline.studies.toy2d.shifts import measure_shifts

    trial.device()
    x, y = toy_problem.held_out(HELD_OUT)
    z = toy_training.latents(HELD_OUT)
    variant = VARIANTS[str(trial.tags["variant"])]
    make = functools.partial(
        ToyFlow, TRANSFORMS[variant.transform](**variant.options), study.depth, study.width, str(trial.tags["net"])
    )
    rate = study.learning_rate if trial.tags["net"] == study.net else study.other_rate
    rates = toy_training.learning_rates(rate, study.schedule, study.iterations)
    flows = toy_training.train(make, range(study.seeds), study.batch, rates)
    runs = [{"seed": seed, **toy_training.measure(flow, x, y, z)} for seed, flow in enumerate(flows)]
    shifted_flows = flows if trial.tags["variant"] in study.both_nets.split(",") else []
    shifts = [{"seed": seed, **row} for seed, flow in enumerate(shifted_flows) for row in measure_shifts(flow, y, z)]
    layers = [{"seed": seed, **row} for seed, flow in enumerate(shifted_flows) for row in layer_variances(flow, y, z)]
    found = summary([{"variant": trial.tags["variant"], **run} for run in runs])[0]
    trial.run.metrics({name: found[name] for name in _TRACKED})
    worst = flows[max(range(study.seeds), key=lambda seed: _astray(runs[seed]))]
    clouds = [toy_training.sample_at(worst, conditions, z) for conditions in (y, toy_problem.shifted(y))]
    return {"runs": runs, "shifts": shifts, "layers": layers, "samples": toy_figures.as_lists(clouds)}


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per variant: median, least and most of every measure over seeds, and how many seeds fail.

    A value that is not finite counts as the worst. ``exploded`` and ``left``: by the rules of shifts.py, at the paper's
    shift.
    """
    from pipeline.studies.toy2d.shifts import exploded, left

    found = []
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        line: dict[str, Any] = {"variant": name, **VARIANTS[name].options, "seeds": len(own)}
        for measure in MEASURES:
            values = [math.inf if row[measure] is None else row[measure] for row in own]
            for kind, choose in (("median", median), ("least", min), ("most", max)):
                value = choose(values)
                line[f"{measure}_{kind}"] = value if math.isfinite(value) else None
        line["exploded"] = sum(map(exploded, own))
        line["left"] = sum(map(left, own))
        found.append(line)
    return found


def _print(found: Sequence[dict[str, Any]], exact: float, seeds: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from pipeline.studies.toy2d.shifts import EXPLODED, LEFT

    title = f"2D toy, {seeds} seeds; the exact posterior has nll {exact:.3f}"
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    table.add_column("variant", no_wrap=True)
    for column in ("nll", "least", "most", "ratio", "most", "% out", "most", "exploded", "left"):
        table.add_column(column, justify="right")
    for line in found:
        table.add_row(
            line["variant"],
            _text(line["nll_median"], ".3f"),
            _text(line["nll_least"], ".3f"),
            _text(line["nll_most"], ".3f"),
            _text(line["variance_ratio_median"], ".3g"),
            _text(line["variance_ratio_most"], ".3g"),
            _text(line["outside_median"], ".1f", 100.0),
            _text(line["outside_most"], ".1f", 100.0),
            str(line["exploded"]),
            str(line["left"]),
        )
    console.print(table)
    say("nll: nats per held-out point, median, least and most over seeds; the rest is for shifted conditions")
    say("ratio: variance of the samples over that for true conditions; % out: samples outside of [-1, 1]^2")
    say(f"exploded: seeds whose variance grew more than {EXPLODED:g}-fold, or not finite")
    say(f"left: seeds with more than {LEFT:.0%} of the samples outside of [-1, 1]^2")


def _text(value: float | None, form: str, factor: float = 1.0) -> str:
    return "not finite" if value is None else format(value * factor, form)
