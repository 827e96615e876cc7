"""Which runs are the same, which supersede each other, and which lie below a parent."""

import time

import pytest
from tracking_store import DEAD, TASK, affine, all_runs, by_name, open_affine, open_as, points

from pipeline.tracking import matching, remote
from pipeline.tracking.client import open_client
from pipeline.tracking.comparison import comparisons
from pipeline.tracking.identity import Identity
from pipeline.tracking.store import tracking_uri


def test_a_retrained_variant_supersedes_its_older_runs_alone(root):
    for key, variant in (("k1", "affine"), ("k1", "bounded"), ("k2", "affine")):
        with open_affine(root, key, variant=variant):
            pass

    def superseded():
        _, runs = all_runs(root)
        return {
            (run.data.tags["steadyflow.variant"], run.data.tags["steadyflow.run_key"])
            for run in runs
            if run.data.tags["steadyflow.superseded"] == "true"
        }

    assert superseded() == {("affine", "k1")}
    with open_affine(root, "k3", seed=11):  # another seed stands beside
        pass
    assert superseded() == {("affine", "k1")}
    with open_affine(root, "k1", stage="report"):  # the older parameters are in force again
        pass
    assert superseded() == {("affine", "k2")}
    _, (found,) = comparisons(root)
    assert found.name == TASK and len(found.runs) == 3


SEARCH = Identity("slopes", {"search": "slopes"}, "s1", supersedes=("search",))


def trial(key, parent=SEARCH, name="trial"):
    """The identity of a training within a search: equal tags, another key."""
    return Identity(name, {"task": TASK, "variant": "affine", "seed": 10}, key, parent)


def superseded(runs):
    return {run.data.tags["steadyflow.run_key"] for run in runs if run.data.tags["steadyflow.superseded"] == "true"}


def test_trials_with_equal_tags_live_side_by_side_below_their_parent(root):
    with open_as(root, SEARCH):
        for key in ("k1", "k2"):
            with open_as(root, trial(key)) as run:
                run.metrics({"train/nll": 1.0}, step=1)
    _, runs = all_runs(root)
    (parent,) = [run for run in runs if run.info.run_name == "slopes"]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["steadyflow.run_key"] for run in children} == {"k1", "k2"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert superseded(runs) == set()


def test_runs_without_a_rule_supersede_none(root):
    for key in ("k1", "k2"):
        with open_as(root, trial(key, parent=None)):
            pass
    assert superseded(all_runs(root)[1]) == set()


def test_a_training_and_a_trial_of_equal_tags_and_key_are_two_runs(root):
    for identity in (trial("k1"), affine("k1"), trial("k1"), affine("k1")):
        with open_as(root, identity):
            pass
    _, runs = all_runs(root)
    assert sorted(run.info.run_name for run in runs) == ["df2k_x4-affine-10", "slopes", "trial"]
    assert superseded(runs) == set()


def test_a_rule_reaches_runs_of_the_same_parent_alone(root):
    other = Identity("widths", {"search": "widths"}, "s2")
    for key, parent in (("k1", SEARCH), ("k2", other), ("k3", None), ("k4", SEARCH)):
        identity = Identity("trial", {"task": TASK}, key, parent, supersedes=("task",))
        with open_as(root, identity):
            pass
    assert superseded(all_runs(root)[1]) == {"k1"}


def test_runs_of_the_version_before_are_found_and_superseded(root):
    client, experiment = open_client(tracking_uri(root))
    old = {"steadyflow.task": TASK, "steadyflow.variant": "affine", "steadyflow.seed": "10"}
    made = {
        key: client.create_run(experiment, None, {**old, "steadyflow.run_key": key, "steadyflow.superseded": "false"})
        for key in ("k0", "k1")
    }
    with open_affine(root, "k1") as run:
        run.flush()
        assert run.run_id == made["k1"].info.run_id
    assert superseded(all_runs(root)[1]) == {"k0"}


def test_a_trial_left_by_an_interruption_is_reopened(root):
    for stop in (True, False):
        with pytest.raises(KeyboardInterrupt), open_as(root, trial("k1")) as run:
            run.metrics({"train/nll": 3.0 - stop}, step=2 - stop)
            raise KeyboardInterrupt
    with open_as(root, trial("k1")):
        pass
    client, runs = by_name(root)
    assert set(runs) == {"slopes", "trial"} and runs["trial"].info.status == "FINISHED"
    assert points(client, runs["trial"], "train/nll") == [(1, 2.0), (2, 3.0)]


def test_a_parent_that_was_never_sent_is_sent_with_its_child(root):
    with open_as(root, SEARCH, uri=DEAD) as parent:
        parent.metrics({"best/nll": 1.0}, step=1)
        with open_as(root, trial("k1"), uri=DEAD) as child:
            child.metrics({"train/nll": 2.0}, step=1)
    with open_as(root, trial("k1")):  # the server is there again, the search is not opened any more
        pass
    client, runs = by_name(root)
    assert runs["trial"].data.tags["mlflow.parentRunId"] == runs["slopes"].info.run_id
    assert points(client, runs["trial"], "train/nll") == [(1, 2.0)]
    assert points(client, runs["slopes"], "best/nll") == [(1, 1.0)]
    assert runs["slopes"].info.status == "FINISHED"


def test_a_parent_that_its_child_made_is_the_one_that_is_opened_later(root):
    with open_as(root, trial("k1")):
        pass
    with open_as(root, SEARCH) as run:
        run.metrics({"best/nll": 1.0}, step=1)
    client, runs = by_name(root)
    assert set(runs) == {"slopes", "trial"}
    assert points(client, runs["slopes"], "best/nll") == [(1, 1.0)]


def test_a_child_of_an_older_parent_leaves_the_newer_one_in_force(root):
    newer = Identity("slopes", {"search": "slopes"}, "s2", supersedes=("search",))
    for identity in (trial("k1"), newer, trial("k1")):
        with open_as(root, identity):
            pass
    assert superseded(all_runs(root)[1]) == {"s1"}


def test_more_runs_than_mlflow_gives_at_a_time_are_found(root, monkeypatch):
    from mlflow import MlflowClient

    whole = MlflowClient.search_runs
    monkeypatch.setattr(MlflowClient, "search_runs", lambda *a, **k: whole(*a, **k, max_results=2))
    for key in ("k1", "k2", "k3", "k4", "k5"):
        with open_as(root, trial(key, parent=None)):
            pass
    with open_affine(root, "k6"):
        pass
    assert superseded(all_runs(root)[1]) == {"k1", "k2", "k3", "k4", "k5"}


def test_without_a_rule_not_even_a_run_of_equal_tags_is_superseded():
    identity = trial("k1", parent=None)
    assert not identity.takes_the_place_of(identity.stored(None), None)


def test_two_trials_make_one_parent(root, monkeypatch):
    def slowly(*arguments):
        time.sleep(0.5)  # the other one looks for the parent meanwhile
        return matching.make(*arguments)

    monkeypatch.setattr(remote, "make", slowly)
    with open_as(root, trial("k1")), open_as(root, trial("k2")):
        pass
    assert sorted(run.info.run_name for run in all_runs(root)[1]) == ["slopes", "trial", "trial"]


def test_runs_of_equal_name_and_key_below_different_parents_have_folders_of_their_own(tmp_path):
    other = Identity("widths", {"search": "widths"}, "s2")
    folders = {trial("k1", parent).folder(tmp_path) for parent in (None, SEARCH, other)}
    assert len(folders) == 3 and SEARCH.folder(tmp_path) in {folder.parent for folder in folders}


def test_a_rule_about_tags_that_a_run_lacks_is_refused():
    with pytest.raises(ValueError, match="supersedes by"):
        Identity("trial", {"task": TASK}, "k1", supersedes=("variant",))


@pytest.mark.parametrize("key", ["", "a'b", "../up"])
def test_a_key_that_is_no_hash_is_refused(key):
    with pytest.raises(ValueError, match="is no hash"):
        Identity("trial", {"task": TASK}, key)
