"""Train the flow of a task x variant by maximum likelihood; goes on from its last checkpoint."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.files import read_json
from pipeline.layout import project_root, variant_folder
from pipeline.training.jobs import Job
from pipeline.training.ray_train import launch
from stages.arguments import parse


def main() -> None:
    """Read params, train, write ``artifacts/<task>/seed<s>/<variant>/model`` and ``training``."""
    arguments = parse(__doc__ or "")
    root, params = project_root(), load_params()
    params.task(arguments.task)
    params.seed(arguments.seed)
    params.variant(arguments.variant)
    launch(Job(str(root), arguments.task, arguments.variant, arguments.seed), params.runtime)
    folder = variant_folder(root, arguments.task, arguments.variant, arguments.seed)
    summary = read_json(folder / "training" / "summary.json")
    say(
        f"{arguments.task} {arguments.variant} seed {arguments.seed}: {summary['validation_bits_per_dim']:.3f} bits "
        f"per dim on held-out pictures after {summary['steps']} steps, {summary['minutes']} min, "
        f"{summary['skipped_steps']} skipped"
    )


if __name__ == "__main__":
    run_main(main)
