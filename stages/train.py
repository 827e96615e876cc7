"""Train the flow of a task x variant by maximum likelihood; goes on from its last checkpoint."""

from __future__ import annotations

from pipeline.console import run_main, say
from pipeline.training.jobs import Job
from pipeline.training.outputs import summary_line
from pipeline.training.ray_train import launch
from pipeline.training.train import train
from stages.arguments import chosen


def main() -> None:
    """Train, write ``artifacts/<task>/seed<s>/<variant>/model`` and ``training``."""
    root, experiment = chosen(__doc__ or "")
    job = Job(root, experiment)
    launch(job, train)
    say(f"{experiment.name}: {summary_line(job.folder / 'training')}")


if __name__ == "__main__":
    run_main(main)
