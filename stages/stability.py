"""Audit the flow of a task x variant on held-out pictures and on stress inputs."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.inference.held_out import held_out_crops
from pipeline.layout import variant_folder
from pipeline.model_folder import load_flow
from pipeline.stability.audit import audit, tracked_numbers
from pipeline.stability.training_pictures import training_crops
from pipeline.tracking.experiments import open_experiment
from stages.arguments import chosen


def main() -> None:
    """Audit, write ``artifacts/<task>/seed<s>/<variant>/stability``."""
    root, experiment = chosen(__doc__ or "")
    task, variant, limits = experiment.task, experiment.variant, experiment.settings.stability
    folder = variant_folder(root, task, variant, experiment.seed)
    flow = load_flow(folder / "model", choose_device(experiment.runtime), {"task": task, "variant": variant})
    crops = held_out_crops(root, experiment, limit=limits.pictures)
    training = training_crops(root, experiment)
    summary = audit(flow, crops, folder / "stability", limits, experiment.seed, training)
    with open_experiment(root, experiment, flow.config.run_key, "stability") as run:
        run.metrics(tracked_numbers(summary))
        run.note({"steadyflow.verdict": summary["verdict"]["level"]})
        run.artifact(folder / "stability", "stability")
    say(f"{experiment.name}: {', '.join(summary['analyses'])} in {(folder / 'stability').relative_to(root)}")


if __name__ == "__main__":
    run_main(main)
