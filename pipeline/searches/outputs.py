"""What a search leaves: trials.csv and trials.json, the plot, the winner as an entry for params.yaml, the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.files import write_bytes, write_csv, write_json, write_text
from pipeline.reporting.study_page import PageFigure, PageTable, StudyPage, write_page
from pipeline.searches.judging import axes, front, winner
from pipeline.searches.space import Space
from pipeline.searches.trial import DIVERGED, STOPPED, Result, SearchTrial, shown

TABLE, PLOT, WINNER = "trials.json", "tradeoff.png", "winner.yaml"
_SHOWN = 60  # characters of a reason in the table of the page


def write_outputs(out: Path, space: Space, trials: Sequence[SearchTrial], results: Sequence[Result]) -> StudyPage:
    """Write all files of a search whose trials have ended to ``out``; return its page.

    trials.csv tells no times, so that equal trials make equal files.
    """
    from pipeline.reporting.style import to_png
    from pipeline.searches.figure import tradeoff

    best, first = set(front(space.config, results)), winner(space.config, results)
    rows = [
        {
            **{place: shown(value) for place, value in trial.values.items()},
            "status": result.status,
            **{name: result.values.get(name) for name in space.config.metrics},
            "on_front": int(number in best),
            "winner": int(number == first),
            "reason": _reason(space, result),
        }
        for number, (trial, result) in enumerate(zip(trials, results, strict=True))
    ]
    write_csv(out / "trials.csv", list(rows[0]), rows)
    write_json(out / TABLE, _content(space, trials, results, best, first))
    write_bytes(out / PLOT, to_png(tradeoff(space.config, trials, results)))
    write_text(out / WINNER, winner_text(space, trials, first))
    page = _page(space, trials, results, rows)
    write_page(out, page)
    return page


def _content(
    space: Space, trials: Sequence[SearchTrial], results: Sequence[Result], best: set[int], first: int | None
) -> dict[str, Any]:
    rows = [
        {
            "key": trial.key,
            "place": dict(trial.values),
            "status": result.status,
            "reason": result.reason,
            "values": dict(result.values),
            "reasons": dict(result.reasons),
            "minutes": result.minutes,
            "on_front": number in best,
        }
        for number, (trial, result) in enumerate(zip(trials, results, strict=True))
    ]
    return {
        "format": 1,
        "search": space.name,
        "profile": space.profile,
        "config": space.config.model_dump(mode="json"),
        "trials": rows,
        "winner": first,
    }


def _reason(space: Space, result: Result) -> str | None:
    """Return why a trial diverged or was stopped, or why a number of the table is missing."""
    missing = [
        f"{name}: {result.reasons.get(name, 'no value')}"
        for name in space.config.metrics
        if result.values.get(name) is None and result.reason is None
    ]
    return result.reason or "; ".join(missing) or None


def winner_text(space: Space, trials: Sequence[SearchTrial], first: int | None) -> str:
    """Return the winner's entry for params.yaml as YAML; a comment if there is none."""
    if first is None:
        return f"# search {space.name}: no trial has both {' and '.join(axes(space.config))}, so that none won\n"
    head = f"# Search {space.name}: {trials[first].label}.\n# Merge this into params.yaml.\n"
    return head + yaml.safe_dump(space.entry(trials[first]), sort_keys=False, default_flow_style=None, width=110)


def _page(
    space: Space, trials: Sequence[SearchTrial], results: Sequence[Result], rows: Sequence[dict[str, Any]]
) -> StudyPage:
    config, first = space.config, winner(space.config, results)
    quality, stability = axes(config)
    found = [f"{len(trials)} trials" + "".join(f", {count} {word}" for word, count in _counts(results)) + "."]
    if first is not None:
        numbers = ", ".join(f"{name} {results[first].values[name]:.4g}" for name in (quality, stability))
        found.append(
            f"The winner, most stable of those whose {quality} is within {config.within:g} of the best: "
            f"{trials[first].label} ({numbers}). Its entry for params.yaml is searches/{space.name}/{WINNER}."
        )
    columns = [place.rpartition(".")[2] for place in space.varied]
    metrics = list(config.metrics)
    table = [
        [
            *(row[place] for place in space.varied),
            row["status"],
            *(row[name] for name in metrics),
            "winner" if row["winner"] else "front" if row["on_front"] else "",
            (row["reason"] or "")[:_SHOWN],
        ]
        for row in rows
    ]
    base = ", ".join(f"{place} {shown(value)}" for place, value in config.base.items())
    return StudyPage(
        name=space.name,
        title=f"Search {space.name}",
        question=f"Which settings are stable, and what does that cost? {stability} against {quality} over a grid.",
        scale=f"All trials: {base}, the rest as in the profile." if base else "All trials: as in the profile.",
        found=found,
        tables=[PageTable("Trials", (*columns, "status", *metrics, "best", "reason"), table)],
        figures=[
            PageFigure(
                PLOT,
                f"A point per trial: {stability} against {quality}; at the right edge, not finite. Circles and line: "
                "the Pareto front, of trials that no other one beats in both; star: the winner.",
                f"{quality} against {stability} of all trials, the Pareto front marked",
            )
        ],
    )


def _counts(results: Sequence[Result]) -> list[tuple[str, int]]:
    words = {DIVERGED: "diverged", STOPPED: "stopped early"}
    counts = [(words[status], sum(result.status == status for result in results)) for status in words]
    return [(word, count) for word, count in counts if count]
