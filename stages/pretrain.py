"""Train the encoder of a task with an L1 loss; all variants of the task start from it."""

from __future__ import annotations

from pipeline.config import load_params
from pipeline.console import run_main, say
from pipeline.layout import encoder_folder, project_root
from pipeline.training.jobs import Job
from pipeline.training.ray_train import launch
from stages.arguments import parse


def main() -> None:
    """Read params, train, write ``artifacts/<task>/seed<s>/encoder``."""
    arguments = parse(__doc__ or "", variant=False)
    root, params = project_root(), load_params()
    params.task(arguments.task)
    params.seed(arguments.seed)
    launch(Job(str(root), arguments.task, None, arguments.seed), params.runtime)
    folder = encoder_folder(root, arguments.task, arguments.seed)
    say(f"encoder of {arguments.task} seed {arguments.seed}: {folder.relative_to(root)}")


if __name__ == "__main__":
    run_main(main)
