"""What a result depends on has one list, and it is right: what stages import, dvc.yaml, settings."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from imports import ROOT, closure

from pipeline.dependencies import NO_RESULT_DEPENDS_ON, STAGES, code_files, is_exception, settings_of
from pipeline.experiment import Experiment
from pipeline.params import load_params
from pipeline.settings import resolved

STAGES_OF_DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
DVC = {name: stage.get("do", stage) for name, stage in STAGES_OF_DVC.items()}  # a foreach has its stage below `do`
SETTINGS = "artifacts/settings.json"
# what follows a model stands in dvc.yaml once more for shielded variants
SHIELDED = {f"{name}_shielded": name for name in ("sample", "evaluate", "stability")}


def faults(stage, root=ROOT, code=None):
    """Return what ``stage`` imports and does not list, and what it lists and does not import."""
    leads_no_further = tuple(name for name in NO_RESULT_DEPENDS_ON if name != "stages")
    imported = closure(root / "stages" / f"{stage}.py", leads_no_further, root)
    imported = {name for name in imported if not is_exception(name) and not says_nothing(root / name)}
    listed = {name for name, _ in code_files(stage)} if code is None else set(code)
    unread = {name for name in listed - imported if not says_nothing(root / name)}
    return imported - listed, unread


def says_nothing(file):
    """Return whether a file holds a docstring at most, as most __init__.py do."""
    source = file.read_text(encoding="utf-8").strip()
    return file.name == "__init__.py" and (not source or bool(re.fullmatch(r'"""[^"]*"""', source)))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_what_it_imports_and_imports_what_it_lists(stage):
    assert faults(stage) == (set(), set())


def copied(tmp_path):
    for name in ("models", "pipeline", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_an_import_that_is_not_listed_is_seen(tmp_path):
    root = copied(tmp_path)
    loop = root / "pipeline" / "training" / "loop.py"
    loop.write_text("from pipeline.metrics import fidelity\n" + loop.read_text())
    missing, unread = faults("train", root)
    assert "pipeline/metrics/fidelity.py" in missing and not unread


def test_a_listed_file_that_nothing_imports_is_seen():
    listed = {name for name, _ in code_files("train")} | {"models/lab/toy.py"}
    assert faults("train", code=listed) == (set(), {"models/lab/toy.py"})


@pytest.mark.parametrize("name", NO_RESULT_DEPENDS_ON)
def test_an_exception_exists(name):
    assert (ROOT / name).exists()


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_depends_on_the_listed_code(stage):
    code = {dep for dep in DVC[stage]["deps"] if dep.startswith(("models", "pipeline", "stages"))}
    assert code == set(STAGES[stage].code)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_depends_on_the_listed_settings(stage):
    entries = DVC[stage].get("params", [])
    assert all(isinstance(entry, dict) and set(entry) == {SETTINGS} for entry in entries)
    places = [place for entry in entries for place in entry[SETTINGS]]
    names = {name: f"${{item.{name}}}" for name in ("task", "variant", "study")} | {"search": "${key}"}
    filled = [place.format(**names) for place in STAGES[stage].settings]
    assert sorted(places) == sorted(filled)


def test_every_stage_of_dvc_is_listed_but_the_one_that_resolves_settings():
    assert {name for name in set(DVC) - set(STAGES) if name not in SHIELDED} == {"settings"}


@pytest.mark.parametrize(("shielded", "trained"), SHIELDED.items())
def test_a_stage_of_shielded_variants_is_that_of_trained_ones(shielded, trained):
    text = json.dumps(STAGES_OF_DVC[trained])
    text = text.replace("${variants}", "${shields}")
    for before in ("--variant ${item.variant}", "seed${item.seed}/${item.variant}"):
        text = text.replace(before, f"{before}_shielded")
    assert STAGES_OF_DVC[shielded] == json.loads(text)


def test_a_default_is_part_of_what_stages_depend_on(monkeypatch):
    params = load_params(ROOT / "params.yaml")
    before = settings_of("train", resolved(params), task="df2k_x4", variant="affine")
    assert before["tasks.df2k_x4.training"]["warmup"] == 0  # nowhere in the text of params.yaml for this task
    assert "warmup: 0" not in (ROOT / "params.yaml").read_text()


def test_an_experiment_tells_the_settings_that_dvc_compares():
    params = load_params(ROOT / "params.yaml")
    whole = resolved(params)
    for task in params.tasks:
        for variant in params.variants:
            own = Experiment.of(params, task, params.seeds[0], variant).resolved()
            for stage in ("train", "sample", "stability"):
                names = {"task": task, "variant": variant}
                assert settings_of(stage, own, **names) == settings_of(stage, whole, **names)


def test_the_runtime_is_no_part_of_the_settings():
    assert "runtime" not in resolved(load_params(ROOT / "params.yaml"))


@pytest.mark.parametrize("room", ["models/lab", "pipeline/studies"])
def test_only_studies_their_stages_and_commands_import_the_laboratory(room):
    allowed = (
        "models/lab",
        "pipeline/studies",
        "pipeline/commands/study.py",
        "pipeline/commands/check.py",
        "stages/study",
        "stages/search.py",
    )
    importers = [
        name
        for folder in ("models", "pipeline", "stages")
        for name in (path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py"))
        if not name.startswith(allowed)
        and any(target.startswith(room) for target in (p.relative_to(ROOT).as_posix() for p in imported(name)))
    ]
    assert importers == []


def imported(name):
    from imports import imported_by

    return imported_by(Path(ROOT / name))


def stale_after(touched):
    """Return the stages that depend on the file ``touched`` itself, by dvc.yaml; later ones follow what changes."""
    covers = {
        stage: [dep for dep in content["deps"] if f"{touched}/".startswith(f"{dep}/")] for stage, content in DVC.items()
    }
    return {stage for stage, deps in covers.items() if deps and stage not in SHIELDED}


# The table of docs/architecture.md, "What a result depends on".
@pytest.mark.parametrize(
    ("touched", "stages"),
    [
        ("pipeline/reporting/figures.py", {"report"}),
        ("pipeline/reporting/sections/glossary.html.j2", {"report"}),
        ("models/lab/toy.py", {"study_toy2d"}),
        ("pipeline/studies/toy2d/study.py", {"study_toy2d"}),
        ("pipeline/datasets/sets/svhn.py", {"prepare", "study_density", "study_flow_gan"}),
        ("pipeline/stability/measure/bounds.py", {"shield", "stability", "report", "search_flow"}),
        ("pipeline/shielding/calibration.py", {"shield"}),
        ("pipeline/training/regularizers.py", {"train", "study_classifier", "search", "search_flow"}),
        ("pipeline/metrics/diversity.py", {"evaluate", "report"}),
        ("pipeline/config.py", {"settings"}),
        ("stages/train.py", set()),
    ],
)
def test_a_touched_file_makes_stale_what_it_must(touched, stages):
    assert (ROOT / touched).exists()
    assert stale_after(touched) == stages


def test_a_loss_makes_every_training_stale():
    assert {"pretrain", "train"} <= stale_after("pipeline/kinds/objectives.py")
