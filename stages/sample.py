"""Draw restorations of the held-out pictures of a task x variant."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.inference.held_out import held_out_crops
from pipeline.inference.restore import restore_crops
from pipeline.layout import variant_folder
from pipeline.model_folder import load_flow
from pipeline.tracking.experiments import open_experiment
from stages.arguments import chosen


def main() -> None:
    """Sample, write ``artifacts/<task>/seed<s>/<variant>/samples``."""
    root, experiment = chosen(__doc__ or "")
    task, variant, sampling = experiment.task, experiment.variant, experiment.settings.sampling
    folder = variant_folder(root, task, variant, experiment.seed)
    flow = load_flow(folder / "model", choose_device(experiment.runtime), {"task": task, "variant": variant})
    crops = held_out_crops(root, experiment)
    restore_crops(flow, crops, folder / "samples", sampling, experiment.seed)
    with open_experiment(root, experiment, flow.config.run_key, "sample") as run:
        run.params({"sampling": sampling.model_dump()})
    where = (folder / "samples").relative_to(root)
    say(f"{experiment.name}: {len(crops)} pictures x {sampling.draws} draws in {where}")


if __name__ == "__main__":
    run_main(main)
