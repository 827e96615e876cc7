"""Audit the flow of a task x variant on held-out pictures and on stress inputs."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.inference.held_out import held_out_crops
from pipeline.layout import variant_folder
from pipeline.model_folder import load_flow
from pipeline.stability.audit import audit, summary_line, tracked_numbers
from pipeline.tracking.run import open_run
from stages.arguments import chosen


def main() -> None:
    """Audit, write ``artifacts/<task>/seed<s>/<variant>/stability``."""
    root, experiment = chosen(__doc__ or "")
    task, variant, limits = experiment.task, experiment.variant, experiment.settings.stability
    folder = variant_folder(root, task, variant, experiment.seed)
    flow = load_flow(folder / "model", choose_device(experiment.runtime), {"task": task, "variant": variant})
    summary = audit(
        flow,
        held_out_crops(root, experiment, limit=limits.pictures),
        folder / "stability",
        limits.draws,
        limits.temperature,
        limits.stress_size,
        experiment.seed,
        flow.device,
    )
    with open_run(root, experiment, flow.config.run_key, "stability") as run:
        run.metrics(tracked_numbers(summary))
        run.artifact(folder / "stability", "stability")
    say(f"{experiment.name}: {summary_line(summary)}")


if __name__ == "__main__":
    run_main(main)
