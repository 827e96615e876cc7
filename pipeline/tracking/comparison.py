"""Which runs stand side by side, and the addresses at which MLflow's page shows them so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pipeline.tracking.client import named_errors, open_client
from pipeline.tracking.identity import PARENT_TAG
from pipeline.tracking.matching import IN_FORCE, in_force
from pipeline.tracking.store import tracking_uri

BASELINE_TAG = "steadyflow.baseline"
_TRAINING = "workflowType=machine_learning"  # the page's view for trained models; it opens in that for language models
# Ordered by time of making, which is its default, MLflow would hide runs that have a parent.
_BY_NAME = f"orderByKey={quote('attributes.`run_name`')}&orderByAsc=true"


class Comparison(NamedTuple):
    """``name``: of a task, or of the parent of nested runs. ``query``: the filter that finds them in MLflow.

    ``runs``: ids of those that have parameters; a baseline, which has none, would make MLflow call all of them
    different.
    """

    name: str
    query: str
    runs: Sequence[str]

    def charts(self, server: str, experiment: str) -> str:
        """Return the address of the charts of all metrics, and of the pictures with their slider."""
        return f"{charts(server, experiment)}&{_BY_NAME}&searchFilter={quote(self.query)}"

    def side_by_side(self, server: str, experiment: str) -> str:
        """Return the address of the table of parameters and metrics, a column per run."""
        return f"{server}/#/compare-runs?runs={_listed(self.runs)}&experiments={_listed([experiment])}&{_TRAINING}"


def charts(server: str, experiment: str) -> str:
    """Return the address of the charts of all runs without a parent; ``experiment`` is its id."""
    return f"{server}/#/experiments/{experiment}/runs?compareRunsMode=CHART&{_TRAINING}"


def comparisons(root: Path, configured: str = "auto") -> tuple[str, list[Comparison]]:
    """Return (experiment id, what stands side by side); superseded runs are left out.

    First the runs of every task that have no parent, its baseline among them, then the nested runs of every parent
    such as a search or a study. Raises TrackingError if the server does not answer.
    """
    with named_errors("MLflow does not answer"):
        client, experiment = open_client(tracking_uri(root, configured))
        runs = in_force(client, experiment)
    tasks: dict[str, list[str]] = {}
    nested: dict[str, list[str]] = {}
    for run in sorted(runs, key=lambda run: str(run.info.run_name)):
        tags = run.data.tags
        if parent := tags.get(PARENT_TAG):
            nested.setdefault(parent, []).append(run.info.run_id)
        elif (task := tags.get("steadyflow.task")) and BASELINE_TAG not in tags:
            tasks.setdefault(task, []).append(run.info.run_id)
    parents = sorted((_name_of(run), run.info.run_id) for run in runs if run.info.run_id in nested)
    of_tasks = f"tags.`steadyflow.task` = '{{}}' AND tags.`{PARENT_TAG}` IS NULL AND {IN_FORCE}"
    return experiment, [
        *(Comparison(task, of_tasks.format(task), ids) for task, ids in sorted(tasks.items())),
        *(
            Comparison(name, f"tags.`{PARENT_TAG}` = '{run_id}' AND {IN_FORCE}", nested[run_id])
            for name, run_id in parents
        ),
    ]


def _name_of(parent: Any) -> str:
    """Return what its nested runs are called, with the profile: a study of own sizes has the name of the pipeline's."""
    profile = parent.data.tags.get("steadyflow.profile")
    return f"runs of {parent.info.run_name}{f' ({profile})' if profile else ''}"


def _listed(names: Sequence[str]) -> str:
    return quote(json.dumps(list(names), separators=(",", ":")))
