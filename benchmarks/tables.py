"""Tables of the docs that many long runs fill, written from what these measured.

    python benchmarks/tables.py                            # writes the tables into the documents
    python benchmarks/tables.py --add shields/shield.csv   # takes in rows first, in place of those of equal keys

Rows of benchmarks/shield.py and benchmarks/ablation.py are kept in benchmarks/measured/, so that measurements of hours
can come from several runs. In a document a table stands between `<!-- table: NAME -->` and `<!-- /table -->`; a test
says that it is what this command writes.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import ablation
import shield

from pipeline.console import run_main, say
from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, read_text, write_csv, write_text

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured"
DIGITS = 5
SUPER_RESOLUTION = ("df2k_x4", "df2k_x8", "celeba_x8")

Row = dict[str, str]


class Source(NamedTuple):
    """A benchmark whose rows are kept."""

    key: tuple[str, ...]
    columns: tuple[str, ...]


class Table(NamedTuple):
    """A table of a document."""

    document: str
    source: str  # a key of SOURCES
    lines: Callable[[list[Row]], Iterable[str]]


SOURCES = {"shield.csv": Source(shield.KEY, shield.COLUMNS), "ablation.csv": Source(ablation.KEY, ablation.COLUMNS)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="tables that these benchmarks wrote")
    for file in parser.parse_args().add:
        say(f"{file}: {add(file)} rows taken")
    for name, table in TABLES.items():
        document = ROOT / table.document
        write_text(document, filled(read_text(document), name, read_csv(MEASURED / table.source)))
        say(f"{table.document}: {name}")


def add(file: Path, kept: Path = MEASURED) -> int:
    """Take the rows of a benchmark's table in, rounded; return how many there were."""
    if file.name not in SOURCES:
        raise SteadyflowError(f"{file}: {file.name} is no table that is kept; allowed: {', '.join(SOURCES)}")
    source, new = SOURCES[file.name], read_csv(file)
    if new and set(source.columns) - set(new[0]):
        raise SteadyflowError(f"{file} is of another version of its benchmark; measure anew")
    table = kept / file.name
    rows = {_key(source, row): row for row in (read_csv(table) if table.exists() else [])}
    rows |= {_key(source, row): {name: _rounded(source, name, row[name]) for name in source.columns} for row in new}
    write_csv(table, source.columns, [rows[key] for key in sorted(rows)])
    return len(new)


def filled(text: str, name: str, rows: list[Row]) -> str:
    """Return a document with one of its tables written anew. SteadyflowError if the document has no place for it."""
    place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL)
    body = "".join(f"{line}\n" for line in TABLES[name].lines(rows))
    found, count = place.subn(lambda at: f"{at[1]}\n{body}\n{at[2]}", text)
    if count != 1:
        raise SteadyflowError(f"{TABLES[name].document} has {count} places for the table {name}; give it one")
    return found


def _key(source: Source, row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in source.key)


def _rounded(source: Source, name: str, value: str) -> str:
    try:
        return value if name in source.key else f"{float(value):.{DIGITS}g}"
    except ValueError:
        return value


def _values(rows: Iterable[Row], name: str) -> list[float]:
    """Return a column; what is not finite or was not found is infinite."""
    return [float(row[name]) if row[name] else math.inf for row in rows]


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share else "0"


def _size(value: float) -> str:
    if value == math.inf:
        return "not finite"
    return f"{value:.1e}".replace("e+", "e") if value >= 1e4 else f"{value:.3g}"


def _largest(values: list[float]) -> str:
    return _size(max(values))


def _range(values: list[float], shown: Callable[[float], str]) -> str:
    least, most = (shown(of(values)) for of in (min, max)) if values else ("", "")
    return least if least == most else f"{least} .. {most}"


def _mean(values: list[float], digits: int) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {spread:.{digits}f}"


def _both(trained: str, shielded: str) -> str:
    return f"{trained} -> {shielded}"


def _header(names: Iterable[str]) -> Iterator[str]:
    names = list(names)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _three_seeds(rows: list[Row]) -> Iterator[tuple[str, str, list[Row], list[Row]]]:
    """Return task, variant, and the rows as trained and shielded, seeds in the same order."""
    for (task, of_task), (variant, shown) in itertools.product(_grouped(rows, "task"), VARIANTS.items()):
        of = sorted((row for row in of_task if row["variant"] == variant), key=lambda row: row["seed"])
        trained = [row for row in of if row["quantile"] == shield.TRAINED]
        shielded = [row for row in of if row["quantile"] != shield.TRAINED]
        if trained and [row["seed"] for row in trained] == [row["seed"] for row in shielded]:
            yield task, shown, trained, shielded


def _safety(rows: list[Row]) -> Iterator[str]:
    """Return what was found of explosions, the worst of all seeds."""
    yield from _header(
        (
            *("task", "variant", "bad on stress inputs, %", "largest there", "bad on photographs, %"),
            *("input attacked: bad, %", "largest", "latents within 3 sigma too: largest", "bound"),
            "log10(bound / attack), least",
        )
    )
    for task, variant, *pair in _three_seeds(rows):
        cells = []
        for of in pair:
            attacked = {goal: [f"{where}_drawn_{goal}" for where in ("near", "free")] for goal in shield.GOALS}
            bounds = _values(of, "bound")
            cells.append(
                (
                    _percent(max(_values(of, "bad_share_stress"))),
                    _largest(_values(of, "largest_stress")),
                    _percent(max(_values(of, "bad_share_photographs"))),
                    _percent(max(value for name in attacked["bad_share"] for value in _values(of, name))),
                    _largest([value for name in attacked["largest"] for value in _values(of, name)]),
                    _largest([*_values(of, "near_3_sigma_largest"), *_values(of, "free_3_sigma_largest")]),
                    "none" if max(bounds) == math.inf else _largest(bounds),
                    "" if max(bounds) == math.inf else f"{min(_values(of, shield.RATIO)):.2f}",
                )
            )
        yield _line([task, variant, *itertools.starmap(_both, zip(*cells, strict=True))])


def _cost(rows: list[Row]) -> Iterator[str]:
    """Return what shields cost: means and standard deviations over seeds, agreement and LPIPS the worst."""
    yield from _header(
        (
            *("task", "variant", "agreement, dB, least", "LPIPS", "change of it, %, most"),
            *("worst LR-PSNR or PSNR of the mean, dB", "bits/dim", "round trip, most", "minutes: training, shield"),
        )
    )
    for task, variant, trained, shielded in _three_seeds(rows):
        lpips = [_values(of, "lpips") for of in (trained, shielded)]
        changes = [abs(after / before - 1) for before, after in zip(*lpips, strict=True)]
        fidelity = "lr_psnr_worst" if task in SUPER_RESOLUTION else "psnr"
        yield _line(
            (
                *(task, variant, f"{min(_values(shielded, 'held_out_agreement')):.1f}"),
                _both(*(_mean(values, 3) for values in lpips)),
                f"{100 * max(changes):.2f}",
                _both(*(_mean(_values(of, fidelity), 1) for of in (trained, shielded))),
                _both(*(_mean(_values(of, "bits_per_dim"), 2) for of in (trained, shielded))),
                _both(*(f"{max(_values(of, 'round_trip')):.0e}" for of in (trained, shielded))),
                ", ".join(f"{statistics.fmean(_values(of, 'minutes')):.1f}" for of in (trained, shielded)),
            )
        )


def _fidelity(rows: list[Row]) -> Iterator[str]:
    """Return LPIPS of every variant, means and standard deviations over seeds."""
    yield from _by_task(rows, lambda of: _mean(_values(of, "lpips"), 3), "LPIPS", "baseline_lpips")


def _explosions(rows: list[Row]) -> Iterator[str]:
    """Return bad values on stress inputs of every variant, least and most of all seeds."""
    yield from _by_task(rows, lambda of: _range(_values(of, "bad_share_stress"), _percent), "bad values, %")


def _by_task(rows: list[Row], cell: Callable[[list[Row]], str], what: str, baseline: str = "") -> Iterator[str]:
    """Return a row per task, with a cell for each of the demo's variants, and what is without a network."""
    named = {f"{variant}{', shielded' if shielded else ''}": (variant, shielded) for variant, shielded in DEMO}
    yield from _header([what, *named, *(["no network"] if baseline else [])])
    for task, of in _grouped(rows, "task"):
        cells = []
        for variant, shielded in named.values():
            own = [row for row in of if row["variant"] == variant and (row["quantile"] != shield.TRAINED) == shielded]
            cells.append(cell(own) if own else "")
        without = [f"{float(of[0][baseline]):.3f}"] if baseline else []
        yield _line([f"`{task}`", *cells, *without])


def _low_light(rows: list[Row]) -> Iterator[str]:
    """Return the mean of draws of every trained variant in low light, and the equalized histogram."""
    names = {"lpips": 3, "psnr": 2, "ssim_colour": 3}
    yield from _header(("task", "variant", "seeds", "LPIPS", "PSNR, dB", "SSIM", "seeds that are better in all three"))
    trained = [row for row in rows if row["quantile"] == shield.TRAINED and row["task"] not in SUPER_RESOLUTION]
    for task, of in _grouped(trained, "task"):
        without = [f"{float(of[0][f'baseline_{name}']):.{digits}f}" for name, digits in names.items()]
        yield _line([f"`{task}`", "none: equalized histogram", "", *without, ""])
        for variant, own in _grouped(of, "variant"):
            better = sum(all(_is_better(row, name) for name in names) for row in own)
            means = [_mean(_values(own, name), digits) for name, digits in names.items()]
            yield _line(["", VARIANTS.get(variant, variant), str(len(own)), *means, str(better)])


def _is_better(row: Row, name: str) -> bool:
    gain = float(row[name]) - float(row[f"baseline_{name}"])
    return gain < 0 if name == "lpips" else gain > 0


def _which_bound(rows: list[Row]) -> Iterator[str]:
    """Return what each bound of the certified spline does alone, and both, as trained: over seeds."""
    yield from _header(
        (
            *("task", "bounded", "bad on stress inputs, %", "largest there", "input attacked: largest"),
            *("latents within 3 sigma too", "bits/dim", "LPIPS", "round trip; nets in bfloat16", "bound"),
        )
    )
    trained = [row for row in rows if row["quantile"] == shield.TRAINED]
    for task, of in _grouped(trained, "task"):
        for variant, bounded in BOUNDED.items():
            own = [row for row in of if row["variant"] == variant]
            if not own:
                continue
            yield _line(
                (
                    *(f"`{task}`", bounded, _range(_values(own, "bad_share_stress"), _percent)),
                    *(_range(_values(own, name), _size) for name in ("largest_stress", "free_drawn_largest")),
                    _range(_values(own, "free_3_sigma_largest"), _size),
                    *(_mean(_values(own, "bits_per_dim"), 2), _mean(_values(own, "lpips"), 3)),
                    f"{max(_values(own, 'round_trip')):.0e}; {max(_values(own, 'round_trip_bfloat16')):.0e}",
                    _range(_values(own, "bound"), _size),
                )
            )


def _survival(rows: list[Row]) -> Iterator[str]:
    """Return how long trainings ended and what they reached: least and most of all seeds."""
    yield from _header(
        (
            *("variant", "rate", "ended", "went back", "held out, bits/dim", "LPIPS", "worst LR-PSNR, dB"),
            *("bad on stress inputs, %", "largest there", "bound"),
        )
    )
    long = [row for row in rows if row["steps"] == LONG and row["survival"] == "on"]
    for variant, shown in VARIANTS.items():
        for rate, of in _grouped([row for row in long if row["variant"] == variant], "rate"):
            well = [row for row in of if row["end"] == "well"]
            yield _line(
                (
                    *(shown, f"x {rate}", f"{len(well)} of {len(of)}"),
                    *(f"{sum(float(row['returns'] or 0) > 0 for row in of)}",),
                    _range(_values(well, "bits_per_dim"), "{:.3f}".format),
                    _range(_values(well, "lpips"), "{:.3f}".format),
                    _range(_values(well, "lr_psnr_worst"), "{:.1f}".format),
                    _range(_values(well, "bad_share_stress"), _percent),
                    _range(_values(well, "largest_stress"), _size),
                    _range(_values(well, "certified_value"), _size),
                )
            )


def _grouped(rows: list[Row], name: str) -> Iterator[tuple[str, list[Row]]]:
    """Return the values of a column in the order of VARIANTS and tasks, each with its rows."""
    for value in sorted({row[name] for row in rows}, key=lambda value: (*ORDER, value).index(value)):
        yield value, [row for row in rows if row[name] == value]


VARIANTS = {
    "affine": "affine",
    "bounded": "bounded",
    "rq_spline": "rq_spline",
    "shift_alone": "rq_spline, bounded shift",
    "certified_spline": "certified_spline",
}
DEMO = [(name, shielded) for shielded in (False, True) for name in VARIANTS if name != "shift_alone"][:-1]
BOUNDED = {"shift_alone": "the shift", "slopes_alone": "the slopes", "certified_spline": "both"}
LONG = "7000"
ORDER = (*SUPER_RESOLUTION, "lol", "ve_lol", *VARIANTS)
TABLES = {
    "three seeds, LPIPS": Table("README.md", "shield.csv", _fidelity),
    "three seeds, bad values": Table("README.md", "shield.csv", _explosions),
    "three seeds, explosions": Table("docs/shield.md", "shield.csv", _safety),
    "three seeds, cost": Table("docs/shield.md", "shield.csv", _cost),
    "three seeds, low light": Table("docs/training.md", "shield.csv", _low_light),
    "which bound": Table("docs/certified-spline.md", "shield.csv", _which_bound),
    "long trainings": Table("docs/training.md", "ablation.csv", _survival),
}


if __name__ == "__main__":
    run_main(main)
