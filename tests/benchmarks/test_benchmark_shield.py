"""The table of shields asks for each row once and measures a model before and after; random networks of published
families explode, and do not when they are shielded.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys

import pytest
from shield import COLUMNS, KEY, cells
from shield_published import NETWORKS
from smoke_project import ROOT, TASK, edit_params, make_project, succeed

from pipeline.params import load_params

ASKED = {"tasks": "lol", "variants": "affine", "quantiles": "none,0.01", "calibrated_on": "own,ve_lol"}
ASKED |= {"seeds": "", "pictures": "1,4", "without": "nothing", "attack": False, "root": ROOT}


def rows(**asked):
    found = cells(argparse.Namespace(**(ASKED | asked)), load_params())
    return [dict(zip(KEY, cell, strict=True)) for cell in found]


def test_a_model_as_trained_has_one_row_and_what_calibrates_another_one_each():
    trained, *shielded = rows()
    assert (trained["quantile"], trained["calibrated_on"], trained["pictures"]) == ("none", "", "")
    assert [(row["calibrated_on"], row["pictures"]) for row in shielded] == [
        ("own", "all"),
        ("ve_lol", "1"),
        ("ve_lol", "4"),
    ]


def test_parts_concern_shields_alone():
    found = rows(without="nothing,tails", calibrated_on="own")
    told = [("none", ""), ("0.01", "nothing"), ("0.01", "tails")]
    assert [(row["quantile"], row["without"]) for row in found] == told


def test_parts_that_a_shield_does_not_have_have_no_rows():
    found = rows(tasks="lol,df2k_x4", without="nothing,input,picture", quantiles="0.01", calibrated_on="own")
    told = [("lol", "nothing"), ("lol", "input"), ("df2k_x4", "nothing"), ("df2k_x4", "picture")]
    assert [(row["task"], row["without"]) for row in found] == told


def test_all_seeds_are_those_that_have_the_model(tmp_path):
    for seed in (12, 9):
        (tmp_path / f"artifacts/lol/seed{seed}/affine/model").mkdir(parents=True)
        (tmp_path / f"artifacts/lol/seed{seed}/affine/model/config.json").touch()
    (tmp_path / "artifacts/lol/seed11/bounded/model").mkdir(parents=True)
    assert [row["seed"] for row in rows(root=tmp_path, seeds="all", quantiles="none")] == ["9", "12"]
    assert [row["seed"] for row in rows(root=tmp_path, seeds="3,4", quantiles="none")] == ["3", "4"]


def run(script, *options):
    command = [sys.executable, f"benchmarks/{script}.py", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout


def read(file):
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.slow
def test_a_model_is_measured_before_and_after_and_once(tmp_path):
    project = make_project(tmp_path / "project")
    edit_params(project, lambda params: params["runtime"].update(tracking_uri="auto"))
    for stage, variant in (("prepare", None), ("pretrain", None), ("train", "affine")):
        succeed(project, stage, variant)
    options = ("--root", str(project), "--out", str(tmp_path / "out"), "--tasks", TASK)
    said = [run("shield", *options).splitlines() for _ in range(2)]
    trained, shielded = read(tmp_path / "out" / "shield.csv")
    assert list(trained) == list(COLUMNS)
    assert trained["bound"] == ""
    assert float(shielded["bound"]) > float(shielded["largest_stress"]) > 0
    assert float(shielded["held_out_agreement"]) > 20 and trained["held_out_agreement"] == ""
    assert said[1] == [line for line in said[0] if line.startswith(f"{TASK} affine, seed")]
    succeed(project, "shield", "affine_shielded")
    few = ("--variants", "affine", "--steps", "2", "--starts", "1")
    attack = ("shield_transfer", "--root", str(project), "--out", str(tmp_path / "out"), *few)
    run(*attack)
    kept = tmp_path / "out" / "transfer.csv"
    rows = read(kept)
    assert [row["latents"] for row in rows] == ["as drawn", "within 3 sigma"]
    assert float(rows[0]["direct"]) < float(rows[1]["direct"])  # where latents climb too
    kept.write_text(kept.read_text(encoding="utf-8").replace(rows[0]["direct"], "12.5"), encoding="utf-8")
    assert "12.5" in run(*attack)  # what was kept, and nothing of an attack


@pytest.mark.slow
def test_a_random_network_of_a_published_family_explodes_and_shielded_does_not(tmp_path):
    run("shield_published", "--out", str(tmp_path), "--networks", "fs_ncsr_x4")
    (row,) = read(tmp_path / "published.csv")
    assert float(row["stress_largest"]) >= 100 > 10 >= float(row["photographs_largest"]) and row["note"] == ""
    assert float(row["shielded_largest"]) < min(10.0, float(row["bound"]))
    assert float(row["held_out"]) > 20 and int(row["crops"]) > 1
    shutil.rmtree(tmp_path / "fs_ncsr_x4")


@pytest.mark.slow
def test_what_a_shield_makes_of_the_time_of_a_draw_is_told_for_each_network():
    options = ("--profile", "smoke", "--tasks", "df2k_x4,lol", "--variants", "affine", "--pairs", "1")
    lines = [line for line in run("shield_time", *options).splitlines() if "ten draws of one picture" in line]
    assert [line.split(":")[0] for line in lines] == ["df2k_x4 affine", "lol affine"]


def test_there_are_ten_networks_of_every_family_that_is_named():
    assert len(NETWORKS) == 10
    assert {one.family for one in NETWORKS.values()} == {"SRFlow", "NCSR", "FS-NCSR", "LLFlow"}
