"""Stages side by side: order, overlap, failures, and that DVC afterwards finds what it would have made itself."""

from pathlib import Path

import pytest
from tiny_pipeline import log, make

from pipeline.config import RuntimeConfig
from pipeline.errors import SteadyflowError
from pipeline.repro.run import run
from pipeline.repro.with_dvc import parsed

# a and b do not need each other, c needs both, d needs c
DIAMOND = {"a": [], "b": [], "c": ["a", "b"], "d": ["c"]}
MEET = {"a": 'Path("at-a").touch(); wait_for("at-b")', "b": 'Path("at-b").touch(); wait_for("at-a")'}
FAIL = 'sys.exit("what is wrong")'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that makes a project and returns a function that runs it."""

    def made(needs, code=None, folder="project"):
        place = make(tmp_path / folder, needs, code)
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(place / ".site"))

        def go(jobs, *options, **runtime):
            monkeypatch.chdir(place)
            return run(place, parsed(options), jobs, RuntimeConfig(**runtime))

        go.folder = place
        return go

    return made


def test_a_stage_starts_after_those_that_it_needs(project):
    go = project(DIAMOND)
    assert go(3) == 0
    noted = log(go.folder)
    assert sorted(noted) == sorted(f"{what} {name}" for name in DIAMOND for what in ("begin", "end"))
    for name, needed in DIAMOND.items():
        for other in needed:
            assert noted.index(f"end {other}") < noted.index(f"begin {name}")


def test_independent_stages_overlap(project):
    go = project(DIAMOND, MEET)
    assert go(2) == 0


def test_one_job_runs_one_after_the_other(project):
    go = project(DIAMOND)
    assert go(1) == 0
    noted = log(go.folder)
    assert [line.split()[1] for line in noted[::2]] == [line.split()[1] for line in noted[1::2]]


def test_the_outputs_and_dvc_lock_are_those_of_dvc_alone(project, monkeypatch):
    from dvc.repo import Repo

    found = []
    for jobs in (0, 1, 2):
        go = project(DIAMOND, folder=f"jobs{jobs}")
        if jobs:
            assert go(jobs) == 0
        else:
            monkeypatch.chdir(go.folder)
            Repo().reproduce()
        found.append((go.folder / "dvc.lock").read_text(encoding="utf-8"))
        assert all((go.folder / f"out-{name}").read_text(encoding="utf-8") == name for name in DIAMOND)
        assert Repo().status() == {}
        assert Repo().reproduce() == []
    assert found[1] == found[2]
    assert found[0] in (found[1], swapped(found[1]))  # DVC takes a and b in either order


def swapped(text):
    """Return a dvc.lock with the entries of a and b the other way round."""
    a, b, c = (text.index(f"  {name}:\n") for name in "abc")
    return text[:a] + text[b:c] + text[a:b] + text[c:]


def test_nothing_to_do_the_second_time_and_the_cache_after_a_loss(project, capsys):
    go = project(DIAMOND)
    assert go(2) == 0
    noted = log(go.folder)
    capsys.readouterr()
    assert go(2) == 0
    assert capsys.readouterr().out == ""
    (go.folder / "out-b").unlink()
    assert go(2) == 0
    assert capsys.readouterr().out.startswith("[2/4] b: from the cache")
    assert log(go.folder) == noted


def test_a_failure_lets_the_others_finish_and_starts_none_that_needs_it(project, capsys):
    go = project(
        {**DIAMOND, "e": ["b"]}, {"a": 'wait_for("at-b"); ' + FAIL, "b": 'Path("at-b").touch(); time.sleep(1)'}
    )
    assert go(2) == 1
    assert log(go.folder) == ["begin a", "begin b", "end b"] or log(go.folder) == ["begin b", "begin a", "end b"]
    said = capsys.readouterr()
    assert said.err.splitlines() == ["what is wrong", "error: failed to reproduce 'a': exit code 1"]
    assert "\na: failed\n" in said.out
    recorded = (go.folder / "dvc.lock").read_text(encoding="utf-8")
    assert "\n  b:\n" in recorded and "\n  a:\n" not in recorded
    (go.folder / "a.py").write_text((go.folder / "c.py").read_text(encoding="utf-8"), encoding="utf-8")
    assert go(2) == 0
    assert log(go.folder).count("begin b") == 1


def test_keep_going_runs_what_does_not_need_the_failed_stage(project):
    go = project({**DIAMOND, "e": ["b"]}, {"a": FAIL})
    assert go(1, "--keep-going") == 1
    assert {"end b", "end e"} <= set(log(go.folder))
    assert "begin c" not in log(go.folder)


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", None])
def test_a_stage_that_was_killed_is_said_to_be(shell, project, capsys, monkeypatch):
    if shell is None:
        monkeypatch.delenv("SHELL", raising=False)
    elif Path(shell).exists():
        monkeypatch.setenv("SHELL", shell)
    else:
        pytest.skip(f"no {shell} here")
    go = project({"a": []}, {"a": "import os; os.kill(os.getpid(), 9)"})
    assert go(1) == 128 + 9
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "error: failed to reproduce 'a': killed by SIGKILL"
    assert lines[:-1] in ([], ["Killed"])  # the shell's own word, if it is not in its command's place


def test_targets_and_force_are_those_of_dvc(project):
    go = project(DIAMOND)
    assert go(2, "c") == 0
    assert "begin d" not in log(go.folder)
    assert go(2, "--force", "--single-item", "a") == 0
    assert log(go.folder)[-2:] == ["begin a", "end a"]
    assert go(2, "--downstream", "c") == 0
    assert log(go.folder)[-2:] == ["begin d", "end d"]


def test_stages_are_not_looked_up_one_by_one_but_patterns_and_folders_are(project, monkeypatch):
    import dvc.repo.reproduce as of_dvc

    looked_up, look_up = [], of_dvc.collect_stages
    monkeypatch.setattr(
        of_dvc, "collect_stages", lambda repo, names, **how: (looked_up.extend(names), look_up(repo, names, **how))[1]
    )
    go = project(DIAMOND)
    assert go(2, "a", "b") == 0 and looked_up == []
    assert go(2, "--glob", "a", "[cd]") == 0 and looked_up == ["[cd]"]
    assert log(go.folder)[-2:] == ["begin d", "end d"]
    (go.folder / "a").mkdir()
    assert go(2, "--recursive", "a") == 0 and looked_up == ["[cd]", "a"]


def test_a_stage_that_there_is_not_is_named_with_the_nearest(project):
    go = project(DIAMOND)
    with pytest.raises(SteadyflowError, match=r"no stage is called 'aa'; did you mean 'a'\? allowed: a, b, c, d;"):
        go(1, "aa")
    assert not (go.folder / "log").exists()


def test_standard_error_of_two_stages_does_not_mix(project, capsys):
    lines = "for i in range(20):\n    print(f'{name} {i}', file=sys.stderr, flush=True); time.sleep(0.01)\n"
    go = project({"a": [], "b": []}, {name: MEET[name] + "\n" + lines for name in "ab"})
    assert go(2) == 0
    said = capsys.readouterr().err.splitlines()
    names = "".join(line[0] for line in said)
    assert names in ("a" * 20 + "b" * 20, "b" * 20 + "a" * 20)


def test_threads_of_params_yaml_do_not_depend_on_jobs(project, monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    go = project({"a": []}, {"a": 'import os; Path("threads").write_text(os.environ["OMP_NUM_THREADS"])'})
    for jobs in (1, 7):
        assert go(jobs, "--force", threads=3) == 0
        assert (go.folder / "threads").read_text(encoding="utf-8") == "3"
