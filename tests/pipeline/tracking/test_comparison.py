"""The addresses that open what stands side by side in MLflow's page."""

import json
from urllib.parse import parse_qs

from tracking_store import TASK, affine, by_name, open_as

from pipeline.tracking.comparison import comparisons
from pipeline.tracking.identity import Identity
from pipeline.tracking.ui import _print_addresses

SEARCH = Identity("slopes", {"search": "slopes"}, "s1")


def trial(name):
    return Identity(name, {"task": TASK}, name, SEARCH)


def baseline():
    return Identity(f"{TASK}-baseline", {"task": TASK, "baseline": "super_resolution"}, "d1")


def query_of(address):
    return parse_qs(address.partition("?")[2])


def make_runs(root, *identities):
    for identity in identities:
        with open_as(root, identity):
            pass
    client, runs = by_name(root)
    return client, {name: run.info.run_id for name, run in runs.items()}


def test_charts_show_the_runs_of_a_task_its_baseline_and_no_others(root):
    identities = (affine(), affine("k2", "bounded"), baseline(), trial("k3"))
    client, ids = make_runs(root, *identities)
    experiment, (task, _) = comparisons(root)
    shown = client.search_runs([experiment], query_of(task.charts("http://here", experiment))["searchFilter"][0])
    names = ("df2k_x4-affine-10", "df2k_x4-bounded-10", "df2k_x4-baseline")
    assert {run.info.run_id for run in shown} == {ids[name] for name in names}


def test_charts_show_the_nested_runs_of_a_parent(root):
    client, ids = make_runs(root, affine(), trial("k1"), trial("k2"))
    experiment, found = comparisons(root)
    assert [one.name for one in found] == [TASK, "runs of slopes"]
    query = query_of(found[1].charts("http://here", experiment))
    shown = client.search_runs([experiment], query["searchFilter"][0], order_by=[f"{query['orderByKey'][0]} ASC"])
    assert [run.info.run_id for run in shown] == [ids["k1"], ids["k2"]]


def test_a_table_has_the_runs_that_have_parameters(root):
    _, ids = make_runs(root, affine(), baseline(), trial("k1"), trial("k2"))
    experiment, found = comparisons(root)
    listed = [json.loads(query_of(one.side_by_side("http://here", experiment))["runs"][0]) for one in found]
    assert listed == [[ids["df2k_x4-affine-10"]], [ids["k1"], ids["k2"]]]


def test_the_page_prints_the_addresses(root, capsys):
    study = Identity("study-toy2d", {"study": "toy2d"}, "s2")
    make_runs(root, affine(), study, Identity("trial", {"variant": "affine"}, "s2", study))
    capsys.readouterr()
    _print_addresses(root, "http://here", "auto")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  http://here/#/")[0] for line in lines] == [
        "all runs:",
        TASK,
        "  charts and pictures:",
        "  side by side:",
        "runs of study-toy2d (smoke)",
        "  charts and pictures:",
        "  side by side:",
    ]
