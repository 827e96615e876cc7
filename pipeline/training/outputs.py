"""The files that a training leaves: curve.csv, validation.csv, summary.json (see docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.files import write_csv, write_json
from pipeline.model_folder import ModelConfig
from pipeline.training.loop import Outcome


def write_training(
    folder: Path, outcome: Outcome, loss_name: str, config: ModelConfig | None = None, parameters: int = 0
) -> dict[str, Any]:
    """Write the curve, and for a flow (``config`` given) validation and summary; return the summary."""
    rows = [_curve_row(row, loss_name) for row in outcome.history]
    write_csv(folder / "curve.csv", list(rows[0]) if rows else ["step", loss_name], rows)
    if config is None:
        return {}
    validation = [
        {"step": int(row["step"]), "nll": row["validation_nll"], "bits_per_dim": row["validation_bits_per_dim"]}
        for row in outcome.validation
    ]
    write_csv(folder / "validation.csv", ["step", "nll", "bits_per_dim"], validation)
    last, held_out = rows[-1], validation[-1]
    summary = {
        "task": config.task,
        "variant": config.variant,
        "profile": config.profile,
        "run_key": config.run_key,
        "steps": config.step,
        "minutes": round(outcome.seconds / 60.0, 2),
        "parameters": parameters,
        "skipped_steps": outcome.skipped_steps,
        "nll": last["nll"],
        "bits_per_dim": last["bits_per_dim"],
        "validation_nll": held_out["nll"],
        "validation_bits_per_dim": held_out["bits_per_dim"],
    }
    write_json(folder / "summary.json", summary)
    return summary


def _curve_row(row: dict[str, float], loss_name: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"step": int(row["step"]), loss_name: row["loss"]}
    if loss_name == "nll":
        shown["bits_per_dim"] = row["loss"] / 3.0
    shown |= {name: row[name] for name in ("learning_rate", "gradient_norm", "seconds")}
    return shown
