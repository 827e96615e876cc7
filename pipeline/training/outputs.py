"""The files that a training leaves: curve.csv, validation.csv, summary.json (see docs/architecture.md)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pipeline.files import read_json, write_csv, write_json
from pipeline.model_folder import ModelConfig
from pipeline.origin import origin_of
from pipeline.training.loop import Outcome, Values
from pipeline.training.recovery import COLLAPSE, ended_collapsed

ADVICE = (
    f"it was more than {COLLAPSE} bits per dim better before; train again with a lower learning_rate, clip_spikes or "
    "recovery"
)
_CURVE = ("learning_rate", "gradient_norm", "seconds")


def write_curve(folder: Path, outcome: Outcome, loss_name: str) -> None:
    """Write curve.csv: one line per logged step, the loss under ``loss_name``."""
    rows = [{"step": int(one["step"]), loss_name: one["loss"], **_rest(one)} for one in outcome.history]
    write_csv(folder / "curve.csv", ["step", loss_name, *_CURVE], rows)


def write_training(folder: Path, outcome: Outcome, config: ModelConfig, parameters: int) -> dict[str, Any]:
    """Write the curves and the summary of a flow's training; return the summary.

    Losses are in the published unit, None where they are not finite.
    """
    penalty = ["penalty"] if any("penalty" in one for one in outcome.history) else []  # the column of a regularizer
    curve = [
        {"step": int(one["step"]), **_nll(_nll_of(one)), **{name: one.get(name) for name in penalty}, **_rest(one)}
        for one in outcome.history
    ]
    held_out = [{"step": int(one["step"]), **_nll(one["validation_nll"])} for one in outcome.validation]
    write_csv(folder / "curve.csv", ["step", "nll", "bits_per_dim", *penalty, *_CURVE], curve)
    write_csv(folder / "validation.csv", ["step", "nll", "bits_per_dim"], held_out)
    summary = {
        **origin_of(config),
        "steps": config.step,
        "minutes": round(outcome.seconds / 60.0, 2),
        "parameters": parameters,
        "skipped_steps": outcome.skipped_steps,
        "returns": len(outcome.returns),
        "went_back": outcome.returns,
        "collapsed": ended_collapsed([one["validation_nll"] for one in outcome.validation]),
        **_nll(_nll_of(outcome.history[-1])),
        **{f"validation_{name}": value for name, value in _nll(outcome.validation[-1]["validation_nll"]).items()},
    }
    write_json(folder / "summary.json", summary)
    return summary


def summary_line(folder: Path) -> str:
    """Return what the summary in ``folder`` says, in a line for people."""
    summary = read_json(folder / "summary.json")
    back, times = summary["returns"], "once" if summary["returns"] == 1 else f"{summary['returns']} times"
    bits = summary["validation_bits_per_dim"]
    return (
        f"{'no finite' if bits is None else f'{bits:.3f}'} bits per dim on held-out pictures after "
        f"{summary['steps']} steps, "
        f"{summary['minutes']} min, {summary['skipped_steps']} skipped"
        + (f", went back {times}" if back else "")
        + (f"; COLLAPSED: {ADVICE}" if summary["collapsed"] else "")
    )


def _nll_of(logged: Values) -> float:
    return logged.get("nll", logged["loss"])


def _nll(published: float) -> dict[str, float | None]:
    finite = math.isfinite(published)
    return {"nll": published if finite else None, "bits_per_dim": published / 3.0 if finite else None}


def _rest(logged: Values) -> Values:
    return {name: logged[name] for name in _CURVE}
