"""Restore a user's pictures with a model folder and measure the result as the stages do."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import RuntimeConfig, SamplingConfig
from pipeline.devices import choose_device
from pipeline.files import writable_folder
from pipeline.inference.reference_pairs import reference_pairs
from pipeline.inference.restore import how_to_draw, restore_crops
from pipeline.metrics.evaluate import Evaluation, evaluate
from pipeline.model_folder import load_flow
from pipeline.pictures.eight_bit import check_quantization
from pipeline.reporting.evaluated import say_missing
from pipeline.reporting.grid import write_grid
from pipeline.reporting.tables import print_evaluation

DRAWS = 10  # as in both published evaluations


def evaluate_model(
    model: Path,
    reference: Path,
    degraded: Path | None,
    out: Path,
    draws: int | None = None,
    temperature: float | None = None,
    seed: int = 10,
    quantization: str = "floor",
    tile: int | None = None,
) -> Evaluation:
    """Write ``out/samples`` and ``out/evaluation`` as docs/architecture.md says, print the main figures, return all.

    ``reference``: undegraded pictures, a file or a folder. ``degraded``: what the network restores, by equal
    names; None makes it by bicubic, which low light cannot. ``draws``: None for ten, or for one at temperature 0,
    where all are equal. ``temperature``: None for the model's own. ``tile``: as of ``Restorer``.

    Raises CheckpointError for a folder that holds no flow, DataError for pictures that are missing, unreadable or
    of sizes that do not belong together, SteadyflowError for an ``out`` that cannot be written to.
    """
    check_quantization(quantization)
    device = choose_device(RuntimeConfig())
    flow = load_flow(model, device)
    config = flow.config
    tau, count = how_to_draw(config.temperature, temperature, draws, DRAWS)
    pairs = reference_pairs(reference, degraded, flow.kind, flow.network.scale)
    writable_folder(out)
    samples, measured = writable_folder(out / "samples"), writable_folder(out / "evaluation")
    for summary in (samples / "samples.json", measured / "metrics.json"):  # of an earlier run, if this one is stopped
        summary.unlink(missing_ok=True)
    sampling = SamplingConfig.model_validate({"draws": count, "temperature": tau, "quantization": quantization})
    restore_crops(flow, pairs, samples, sampling, seed, tile)
    evaluation = evaluate(samples, config.task, config.variant, device)
    evaluation.write(measured)
    write_grid(measured / "grid.jpg", samples, evaluation.samples)
    say_missing(evaluation)
    print_evaluation(evaluation, tau)
    return evaluation
