"""Audit the flow of a task x variant on held-out pictures and on stress inputs."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.devices import choose_device
from pipeline.inference.held_out import held_out_crops
from pipeline.layout import project_root, variant_folder
from pipeline.model_folder import load_model
from pipeline.stability.audit import audit
from pipeline.tracking.run import open_run
from stages.arguments import parse


def main() -> None:
    """Read params, audit, write ``artifacts/<task>/seed<s>/<variant>/stability``."""
    arguments = parse(__doc__ or "")
    root, params = project_root(), load_params()
    task, variant, seed = arguments.task, arguments.variant, params.seed(arguments.seed)
    settings = params.settings(task)
    device = choose_device(params.runtime)
    folder = variant_folder(root, task, variant, seed)
    network = load_model(folder / "model", device, expect={"task": task, "variant": variant})
    limits = settings.stability
    summary = audit(
        network,
        held_out_crops(root, params, task, limit=limits.pictures),
        folder / "stability",
        limits.draws,
        limits.temperature,
        limits.stress_size,
        seed,
        device,
        limits.analyses,
    )
    numbers = {
        f"stability/{analysis}.{name}": value
        for analysis, values in summary["analyses"].items()
        for name, value in values.items()
        if value is not None
    }
    with open_run(root, task, variant, seed, network.config.run_key, params, "stability") as run:
        run.metrics(numbers)
        run.artifact(folder / "stability", "stability")
    say(f"{task} {variant} seed {seed}: {', '.join(summary['analyses'])} in {folder / 'stability'}")


if __name__ == "__main__":
    run_main(main)
