"""Run the chosen analyses on a network and write what they found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import StabilityConfig
from pipeline.console import say
from pipeline.files import write_csv, write_json
from pipeline.inference.held_out import Crop
from pipeline.model_folder import LoadedFlow
from pipeline.origin import origin_of
from pipeline.pictures.eight_bit import to_tensor, write_png
from pipeline.stability.analyses import chosen
from pipeline.stability.contract import COSTS, Analysis, Found
from pipeline.stability.stress import StressInput, stress_inputs
from pipeline.stability.subject import Subject
from pipeline.stability.verdict import verdict, verdict_lines


def audit(
    flow: LoadedFlow,
    crops: Sequence[Crop],
    folder: Path,
    limits: StabilityConfig,
    seed: int,
    training: Sequence[Crop] = (),
    own: Sequence[StressInput] = (),
) -> dict[str, Any]:
    """Audit ``flow`` on held-out crops and on stress inputs; write ``folder``, return the summary.

    ``crops`` as in ``pipeline.inference.restore.restore_crops``, and so are those of ``training``, which the flow has
    seen. ``own``: inputs that somebody has, audited beside the stress inputs. ``limits``: how much of what is run.
    Raises ValueError for an analysis or an option that does not exist.
    """
    selection = chosen(limits.analyses)
    network, kind, device = flow.network, flow.kind, flow.device
    pictures = [
        (name, *kind.pair([to_tensor(side).to(device) for side in sides], network.scale)) for name, sides in crops
    ]
    stress = stress_inputs(limits.stress_size, seed, [seen for _, _, seen in pictures], kind, device)
    subject = Subject(flow, pictures, [*stress, *own], limits.draws, limits.temperature, seed, training)
    numbers: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    for analysis in selection:
        if analysis.cost != "seconds":
            say(f"{analysis.title}: {COSTS[analysis.cost]}")
        found = analysis.run(subject)
        _write(folder, analysis, found)
        if found.said:
            say(f"{flow.config.task} {flow.config.variant}: {found.said}")
        numbers[analysis.name] = found.numbers
        tables |= found.tables
        reasons |= {f"{analysis.name}.{name}": text for name, text in found.reasons.items()}
    judged = verdict(numbers, tables)
    summary = {**origin_of(flow.config), "analyses": numbers, "reasons": reasons, "verdict": judged}
    write_json(folder / "summary.json", summary)
    for line in verdict_lines(judged):
        say(line)
    return summary


def tracked_numbers(summary: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of an audit's summary under the names that MLflow shows them by; None is left out."""
    return {
        f"stability/{analysis}.{name}": value
        for analysis, values in summary["analyses"].items()
        for name, value in values.items()
        if value is not None
    }


def _write(folder: Path, analysis: Analysis, found: Found) -> None:
    """Write tables and pictures; ValueError for a number of which the analysis says nothing, KeyError for a table."""
    if unsaid := [name for name in found.numbers if analysis.number(name) is None]:
        raise ValueError(f"the analysis {analysis.name} says nothing of its numbers {unsaid}")
    for file, rows in found.tables.items():
        write_csv(folder / file, list(analysis.tables[file]), rows)
    for file, picture in found.pictures.items():
        write_png(folder / file, picture)
