"""dvc.lock: written a stage at a time, it is what DVC writes; a file of another layout is DVC's to write."""

import pytest
import yaml
from tiny_pipeline import make

from pipeline.repro.dvc_lock import record, split

NEEDS = {"a": [], "b-1": ["a"], "c": ["b-1"]}
LONG = "; ".join(f"number_{n} = {n}" for n in range(30))


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """Return a repository in which DVC has run all stages, one of them with a command that YAML folds."""
    from dvc.repo import Repo

    make(tmp_path / "project", NEEDS)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    file = tmp_path / "project" / "dvc.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["stages"]["c"]["cmd"] += f" '{LONG}'"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    repo = Repo()
    repo.reproduce()
    return repo


def stages(repo):
    return {stage.name: stage for stage in repo.index.stages}


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_from_nothing_it_is_what_dvc_wrote(repo, tmp_path, order):
    path = tmp_path / "project" / "dvc.lock"
    of_dvc = path.read_text(encoding="utf-8")
    found = stages(repo)
    path.unlink()
    for letter in order:
        (name,) = (one for one in found if one.startswith(letter))
        record(found[name], list(NEEDS))
    assert path.read_text(encoding="utf-8") == of_dvc


def test_the_entry_of_a_stage_is_replaced_where_it_stands(repo, tmp_path):
    path = tmp_path / "project" / "dvc.lock"
    of_dvc = path.read_text(encoding="utf-8")
    stage = stages(repo)["b-1"]
    stage.cmd = "true"
    record(stage, list(NEEDS))
    ours = path.read_text(encoding="utf-8")
    path.write_text(of_dvc, encoding="utf-8")
    stage.dump(update_pipeline=False)
    assert ours == path.read_text(encoding="utf-8") != of_dvc


@pytest.mark.parametrize("odd", ["", "schema: '2.0'\nstages: {}\n", "# mine\nschema: '2.0'\nstages:\n  z: {cmd: z}\n"])
def test_another_layout_is_left_to_dvc(repo, tmp_path, odd):
    path = tmp_path / "project" / "dvc.lock"
    stage = stages(repo)["a"]
    path.write_text(odd, encoding="utf-8")
    assert split(odd) is None
    record(stage, list(NEEDS))
    ours = path.read_text(encoding="utf-8")
    assert "out-a" in ours and odd.splitlines()[:1] == ours.splitlines()[: len(odd) and 1]
