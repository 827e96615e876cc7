"""Put a shield around a model folder, calibrated on a user's photographs (docs/shield.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config import RuntimeConfig
from pipeline.console import say, warn
from pipeline.devices import choose_device
from pipeline.errors import SteadyflowError
from pipeline.files import writable_folder
from pipeline.model_folder import CONFIG, load_flow, save_model
from pipeline.pictures.eight_bit import BAD_ABOVE, BAD_BELOW
from pipeline.rounding import rounded_up
from pipeline.shielding.calibration import LATENT, refuse_shielded, shield_flow, summary_line
from pipeline.shielding.crops import calibration_crops
from pipeline.shielding.usual import BUDGET


def shield_model(
    model: Path,
    pictures: Path,
    degraded: Path | None,
    out: Path,
    quantile: float | None = None,
    budget: float | None = None,
    seed: int = 10,
) -> dict[str, Any]:
    """Write ``out``, a model folder like any other; print and return what its configuration says of the shield.

    ``pictures``: undegraded, a file or a folder. ``degraded``: by equal names; None makes them by bicubic, which low
    light cannot. ``quantile`` and ``budget``: see ``shield_flow``. Raises CheckpointError for a folder that holds no
    flow, DataError for pictures that cannot be used, SteadyflowError for a flow that cannot be shielded.
    """
    if (out / CONFIG).exists():
        raise SteadyflowError(f"--out {out} holds a model already; give a folder that is not there yet")
    flow = load_flow(model, choose_device(RuntimeConfig()))
    refuse_shielded(flow)
    crops = calibration_crops(flow, pictures, degraded)
    writable_folder(out)
    shielded = shield_flow(flow, crops, seed, quantile, budget)
    save_model(out, shielded.network, shielded.config)
    found: dict[str, Any] = shielded.config.shield or {}
    say(summary_line(shielded))
    for line in certain_lines(found, shielded.config.temperature):
        say(line)
    if fault := _too_far(found, BUDGET if budget is None else budget):
        warn(f"{fault}; give more pictures like those that the model is for, or a smaller --quantile")
    say(f"shielded model: {out}")
    return found


def certain_lines(found: dict[str, Any], temperature: float) -> Iterator[str]:
    """Yield what is proven of the output for every input, as a configuration says of a shield, in lines for people."""
    if found["bound"] is None:
        return
    limit = rounded_up(found["bound"], 3)
    yield f"for latents within {LATENT:g} standard deviations no value of any output exceeds {limit}"
    good = found.get("good_draw")  # not in earlier configurations
    if good is not None and good >= LATENT * temperature:
        yield (
            f"at temperature {temperature:g}, for any input chosen without knowing the latents, one value of draws in "
            f"250 million is bad at most, outside of [{BAD_BELOW}, {BAD_ABOVE}]: proven"
        )


def _too_far(found: dict[str, Any], wanted: float) -> str:
    """Return what is wrong with how far the shield changes draws, so far as its calibration tells; empty: nothing."""
    whose = "the one crop that calibrated" if found["crops"] == 1 else "crops that had not calibrated"
    if found["agreement"] is None:
        return f"draws of {whose} are not finite, shielded or not"
    if found["agreement"] < wanted:
        return f"draws of {whose} kept to {found['agreement']:.1f} dB of the unshielded ones, less than {wanted:g}"
    return ""
