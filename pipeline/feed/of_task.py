"""The prepared pictures of a task, as its kind of problem takes them."""

from __future__ import annotations

from pathlib import Path

from pipeline.experiment import Experiment
from pipeline.feed.manifest import Split
from pipeline.feed.sides import Pairs, open_pairs
from pipeline.kinds import KINDS
from pipeline.layout import manifest_path


def pairs_of(root: Path, experiment: Experiment, split: Split) -> Pairs:
    """Return the prepared pictures of the experiment's task in a split; DataError if there are none."""
    problem = experiment.problem
    return open_pairs(manifest_path(root, experiment.task), split, problem.scale, KINDS[problem.kind].equalized)
