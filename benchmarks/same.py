"""Whether two runs of ``steadyflow repro`` gave the same: every file of both, byte by byte.

    python benchmarks/same.py ../one/artifacts ../other/artifacts

Measured times differ in any two runs. A file that differs is read again without them (``TIMES``: columns of a CSV,
keys of a JSON), a page is not compared by itself if what it shows is its neighbour of ``SHOWN``; what then is equal is
counted apart. Exit code 1 if anything else differs, or is missing on one side.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import json
import re
import sys
from pathlib import Path

from pipeline.console import run_main, say

TIMES = re.compile(r"(measuring_)?(seconds|minutes)(_\w+)?|overhead_\d+")
SHOWN = {Path("studies/classifier/page.json"): "results.json"}  # its tables have minutes and ratios of seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    arguments = parser.parse_args()
    for folder in (arguments.one, arguments.other):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder")
    names = sorted({path.relative_to(root) for root in (arguments.one, arguments.other) for path in _files(root)})
    found = {name: compare(arguments.one / name, arguments.other / name) for name in names}
    for name, neighbour in SHOWN.items():
        if found.get(name) == "differs":
            found[name] = found.get(name.with_name(neighbour), "differs")
    for name, outcome in found.items():
        if outcome not in ("equal", "times"):
            say(f"{name}: {outcome}")
    equal, times = (list(found.values()).count(outcome) for outcome in ("equal", "times"))
    differ = len(found) - equal - times
    say(f"{len(found)} files: {equal} equal to the byte, {times} but for measured times, {differ} not")
    sys.exit(1 if differ or not found else 0)


def compare(one: Path, other: Path) -> str:
    """Return "equal", "times" if measured times alone differ, or what is wrong."""
    if not (one.is_file() and other.is_file()):
        return f"missing in {one.parent if other.is_file() else other.parent}"
    if filecmp.cmp(one, other, shallow=False):
        return "equal"
    try:
        return "times" if _timeless(one) == _timeless(other) else "differs"
    except (ValueError, csv.Error):
        return "differs"


def _files(folder):
    return (path for path in folder.rglob("*") if path.is_file())


def _timeless(path):
    """Return what a CSV or JSON holds beside times, as text. Raises ValueError for any other file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = list(csv.reader(file)) or [[]]
        timed = [place for place, name in enumerate(head) if TIMES.fullmatch(name)]
        for row in rows:
            for place in timed:
                row[place : place + 1] = ["time"] if place < len(row) else []
        return json.dumps([head, *rows])
    if path.suffix == ".json":
        return json.dumps(_without(json.loads(path.read_text(encoding="utf-8"))))
    raise ValueError(f"{path} is neither")


def _without(value):
    if isinstance(value, dict):
        return {key: "time" if TIMES.fullmatch(key) else _without(each) for key, each in value.items()}
    return [_without(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    run_main(main)
