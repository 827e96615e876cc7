"""Train the encoder of a task with an L1 loss; all variants of the task start from it."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.training.jobs import Job
from pipeline.training.pretrain import pretrain
from pipeline.training.ray_train import launch
from stages.arguments import chosen


def main() -> None:
    """Train, write ``artifacts/<task>/seed<s>/encoder``."""
    root, experiment = chosen(__doc__ or "", variant=False)
    job = Job(root, experiment)
    launch(job, pretrain)
    say(f"encoder of {experiment.task} seed {experiment.seed}: {job.folder.relative_to(root)}")


if __name__ == "__main__":
    run_main(main)
