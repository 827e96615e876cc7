"""The commands of docs/dvc.md in a copy of the project, without an activated environment: smoke size, two variants."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLOTS = ("held_out_nll", "feature_variance", "stress_shares")
COMMANDS = re.findall(r"^(?:git|\.venv/bin/dvc) .*$", (ROOT / "docs" / "dvc.md").read_text(encoding="utf-8"), re.M)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a function that runs a line in a shell of a fresh clone, whose path has a space."""
    folder = tmp_path_factory.mktemp("of dvc") / "my clone"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, files.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    make_small(folder / "params.yaml")
    (folder / ".venv").symlink_to(sys.prefix)
    kept = {name: os.environ[name] for name in ("HOME", "OMP_NUM_THREADS", "TMPDIR") if name in os.environ}
    person = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**kept, **person, "PATH": os.defpath, "COLUMNS": "200"}

    def run(line):
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    run("git init -q && echo .venv >> .git/info/exclude && git add -A && git commit -qm start")
    run(".venv/bin/dvc repro report")
    run.folder = folder
    return run


def make_small(file):
    """Leave one task and two variants of the committed file, comments kept."""
    text = file.read_text(encoding="utf-8").replace("\nprofile: demo", "\nprofile: smoke")
    text = re.sub(r"^  (?!df2k_x4)\w+: \{(?:kind|like):.*\n", "", text, flags=re.M)
    text = re.sub(r"^  # paper A's remedy.*?(?=^datasets:)", "shields: {}\n\n", text, flags=re.M | re.S)
    file.write_text(text, encoding="utf-8")


def charts(folder):
    page = (folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    return [json.loads(spec) for spec in re.findall(r"var spec = (\{.*\});", page)]


def seen(spec, field):
    return {row[field] for row in spec["data"]["values"]}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_commands_of_the_document_compare_versions(project):
    said = {line: project(line) for line in COMMANDS}
    found = [line.split()[1:3] for line in COMMANDS if "dvc " in line]
    assert all(command in found for command in (["metrics", "show"], ["metrics", "diff"], ["plots", "show"]))
    assert all(command in found for command in (["exp", "run"], ["exp", "show"], ["plots", "diff"]))
    (changed,) = (text for line, text in said.items() if line.endswith("metrics diff HEAD wider"))
    assert "lpips.bounded" in changed or "psnr.bounded" in changed
    assert ".affine" not in changed
    (every,) = (text for line, text in said.items() if "diff --all" in line)
    assert "validation_bits_per_dim.affine" in every
    (trials,) = (text for line, text in said.items() if " exp show " in line)
    assert "wider" in trials
    drawn = charts(project.folder)
    assert sorted(spec["title"]["text"] for spec in drawn) == sorted(
        f"report/plots/{name}/df2k_x4.csv" for name in PLOTS
    )
    for spec in drawn:
        assert seen(spec, "variant") == {"affine", "bounded"}
        assert seen(spec, "rev") == {"HEAD", "wider"}
    assert project("git status --porcelain") == ""  # neither params.yaml nor .gitignore, and no file that git sees
