"""The toy's page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from pipeline.reporting.study_page import Agreement, Comparison, PageFigure, PageTable, StudyPage
from pipeline.studies.toy2d.layers import PAPERS_GROWTH, largest_growth
from pipeline.studies.toy2d.shifts import DIRECTIONS, EXPLODED, LEFT, SIZES, exploded, left

Row = Mapping[str, Any]


def page(
    name: str,
    sizes: str,
    net: str,
    found: Sequence[Row],
    exact: float,
    often: Sequence[Row],
    runs: Sequence[Row],
    by_layer: Sequence[Row],
) -> StudyPage:
    """Return the page of the study ``name``.

    ``sizes``: of the run, in words; ``net``: of the variants in ``found``.
    ``found``: rows of ``study.summary``; ``often``: of ``shifts.frequencies``; ``runs``: per variant, net and seed what
    ``training.measure`` returns, of the variants that were trained with both nets; ``by_layer``: of these, rows of
    ``layers.layer_variances``.
    """
    return StudyPage(
        name=name,
        title="A 2D toy: what couplings do with conditions that nobody has seen",
        question="Paper A, section 4.1: points of a parallelogram, restored from noisy observations and from shifted "
        "ones. Which couplings let samples leave the box, and how often?",
        scale=f"{sizes}; {len(SIZES)} sizes x "
        f"{DIRECTIONS} directions of the shift; the paper: one flow of 8,000 steps at batch 1,000, one shift",
        found=[f"The exact posterior has nll {exact:.3f} nats per point.", *_frequencies_in_words(often)],
        tables=[_table(found, net), _frequency_table(often, runs)],
        figures=[
            PageFigure(
                "samples.png",
                "Paper A, Fig. 2: data and conditions (left), and samples for true and for shifted conditions, per "
                "variant and net; points outside of [-1, 1]² stand on the edge. Of each variant the seed that leaves "
                "the box the most.",
                "Clouds of points per variant, net and kind of condition",
            ),
            PageFigure(
                "explosions.png",
                f"How often the variance of the samples grew more than {EXPLODED:g}-fold (above), and how often more "
                f"than {LEFT:.0%} of the samples left [-1, 1]² (below), over seeds and directions of the shift, by its "
                "size in lengths of the paper's (0.8, -0.8).",
                "Shares of seeds and directions against the size of the shift, a line per variant",
            ),
            PageFigure(
                "layers.png",
                "Paper A, Fig. 3, and Fig. 2 of its appendix: variance after every layer, from latent to sample, a "
                "line per seed, for true conditions and for the paper's shift. Aff: coupling, of whatever kind; IC: "
                "1x1; AN: activation norm.",
                "Variance after every layer, a panel per variant and net",
            ),
            PageFigure(
                "curves.png",
                "Paper A, Fig. 5: what a coupling applies to one value, for four values of its parameters, drawn and "
                "not trained; grey: the box.",
                "Curves of the affine, rational-quadratic and certified transforms",
            ),
            PageFigure(
                "nll.png",
                "What L and the bound of the shift cost.",
                "Median nll against L, a line per bound of the shift",
            ),
        ],
        comparisons=[*_comparisons(runs, exact), *_growth_comparisons(by_layer)],
    )


def _table(found: Sequence[Row], net: str) -> PageTable:
    columns = (
        "variant",
        "nll",
        "nll, least",
        "nll, most",
        "variance ratio",
        "variance ratio, most",
        "% outside",
        "% outside, most",
        "seeds exploded",
        "seeds left",
    )
    rows = [
        (
            line["variant"],
            *(line[f"nll_{kind}"] for kind in ("median", "least", "most")),
            *(line[f"variance_ratio_{kind}"] for kind in ("median", "most")),
            *(100 * line[f"outside_{kind}"] for kind in ("median", "most")),
            line["exploded"],
            line["left"],
        )
        for line in found
    ]
    note = (
        f"Medians over seeds, {net} nets, the paper's shift. Exploded: variance ratio above {EXPLODED:g} or not "
        f"finite; left: more than {LEFT:.0%} of the samples outside."
    )
    return PageTable("Per variant, over seeds", columns, rows, note)


def _frequency_table(often: Sequence[Row], runs: Sequence[Row]) -> PageTable:
    columns = ["variant", "net", "nll", "% outside, true conditions"]
    for name in ("exploded", "left"):
        columns += [f"% {name} at {size:g}x" for size in SIZES]
    rows = []
    for variant, net in dict.fromkeys((line["variant"], line["net"]) for line in often):
        own = {line["size"]: line for line in often if (line["variant"], line["net"]) == (variant, net)}
        shares = [100 * own[size][name] for name in ("exploded", "left") for size in SIZES]
        same = [run for run in runs if (run["variant"], run["net"]) == (variant, net)]
        nll = _median_nll(same)
        within = 100 * median(run["outside_in_distribution"] for run in same)
        rows.append((variant, net, nll if math.isfinite(nll) else "not finite", within, *shares))
    note = (
        "nll and samples for true conditions: medians over seeds, which tell how well trained the flows are. Shares "
        f"are of all seeds and {DIRECTIONS} directions; sizes in lengths of the paper's shift (0.8, -0.8)."
    )
    return PageTable("How often, by the size of the shift", columns, rows, note)


def _frequencies_in_words(often: Sequence[Row]) -> list[str]:
    found = []
    for net in dict.fromkeys(line["net"] for line in often):
        own = [line for line in often if line["net"] == net]
        shares = {
            variant: max(line["exploded"] for line in own if line["variant"] == variant)
            for variant in dict.fromkeys(line["variant"] for line in own)
        }
        told = ", ".join(f"{variant} {share:.0%}" for variant, share in shares.items())
        found.append(f"Exploded, {net} nets, at the worst size of the shift: {told} of seeds and directions.")
    return found


def _median_nll(runs: Sequence[Row]) -> float:
    return median(math.inf if run["nll"] is None else run["nll"] for run in runs)


def _comparisons(runs: Sequence[Row], exact: float) -> list[Comparison]:
    """Return whether samples leave the box and their variance explodes: affine couplings' do, the spline's do not."""
    many = f"more than {LEFT:.0%} outside"
    cases: list[tuple[str, str, str, str, Callable[[Row], bool], bool]] = [
        ("affine", "A, 3.1.1 and Fig. 2, left", "samples lie outside of [-1, 1]²", many, left, True),
        (
            "rq_spline",
            "A, 4.1 and Fig. 2, right",
            "all samples lie inside of [-1, 1]²",
            "some outside",
            _outside,
            False,
        ),
        ("rq_spline", "A, 4.1 and supplement, Fig. 2", "the variance does not explode", "exploded", exploded, False),
    ]
    found = []
    for variant, source, paper, words, happened, expected in cases:
        for net, own in _by_net(runs, variant):
            ratios = [run["variance_ratio"] for run in own]
            largest = "not finite" if None in ratios else f"{max(ratios):.3g}"
            share = 100 * max(run["outside"] for run in own)
            ours = (
                f"{words} in {sum(map(happened, own))} of {len(own)} seeds (largest variance ratio {largest}, "
                f"largest share outside {share:.3g} %)"
            )
            agrees = _agreement([happened(run) == expected for run in own])
            note = f"nll {_median_nll(own):.2f}, the exact posterior's {exact:.2f}"
            found.append(Comparison(source, f"{variant}, {net} nets, the paper's shift", paper, ours, agrees, note))
    return found


def _growth_comparisons(by_layer: Sequence[Row]) -> list[Comparison]:
    """Return by how much the variance of the affine flows grows at one layer."""
    paper = f"the variance explodes, more than {PAPERS_GROWTH:,.0f}-fold at one layer"
    found = []
    for net, own in _by_net(by_layer, "affine"):
        seeds = dict.fromkeys(row["seed"] for row in own)
        growths = [largest_growth([row for row in own if row["seed"] == seed]) for seed in seeds]
        ours = f"{min(growths):.3g} to {max(growths):.3g}-fold at one layer, over {len(growths)} seeds"
        agrees = _agreement([growth > PAPERS_GROWTH for growth in growths])
        what = f"affine, {net} nets, the paper's shift"
        found.append(Comparison("A, 3.1.1 and Fig. 3c", what, paper, ours, agrees))
    return found


def _by_net(rows: Sequence[Row], variant: str) -> list[tuple[str, list[Row]]]:
    """Return per net the rows of ``variant``; nets that it was not trained with are left out."""
    own = [row for row in rows if row["variant"] == variant]
    return [(net, [row for row in own if row["net"] == net]) for net in dict.fromkeys(row["net"] for row in own)]


def _agreement(as_paper: Sequence[bool]) -> Agreement:
    return "yes" if all(as_paper) else "partly" if any(as_paper) else "no"


def _outside(run: Row) -> bool:
    return bool(run["outside"] > 0)
