"""The shape of the project: who imports whom, what no file may contain, and that the documents tell the truth."""

import argparse
import ast
import re
import sys
from pathlib import Path

import pytest
from imports import circles

from pipeline.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
OURS = ("models", "pipeline", "stages")
FILES = sorted(path for folder in (*OURS, "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
SOURCES = [path for path in FILES if path.relative_to(ROOT).parts[0] in OURS]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
MAX_LINES = 400

# Which of our own packages each package may import: stages -> pipeline -> models, never back.
MAY_IMPORT = {"models": {"models"}, "pipeline": {"models", "pipeline"}, "stages": {"models", "pipeline", "stages"}}
# The only files that may import a library: everything else stays free of it.
ONLY_IN = {
    "ray": re.compile(r"pipeline/training/ray_\w+\.py"),
    "mlflow": re.compile(r"pipeline/tracking/client\.py"),
    "albumentations": re.compile(r"pipeline/feed/augment\.py"),
}
FORBIDDEN_CALLS = {
    "nan_to_num": "hides a broken value",
    "pickle.load": "runs code that lies in the file",
    "pickle.loads": "runs code that lies in the file",
}
FORBIDDEN_ARGUMENTS = {("weights_only", False), ("allow_pickle", True)}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imported(tree):
    """Return the top-level packages that a module imports anywhere, inside of functions too."""
    packages = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            packages.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            packages.add(node.module.split(".")[0])
    return packages


def wrong_imports(name, tree):
    """Return what the module ``name`` imports against the rules."""
    package = name.split("/")[0]
    allowed = MAY_IMPORT[package]
    if package == "models":
        allowed = allowed | {"torch"} | sys.stdlib_module_names
        wrong = imported(tree) - allowed
    else:
        wrong = (imported(tree) & set(OURS)) - allowed
    elsewhere = {library for library, place in ONLY_IN.items() if not place.fullmatch(name)}
    return wrong | (imported(tree) & elsewhere)


def forbidden(tree):
    """Return the calls of a module that no file may make."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            callee = ast.unparse(node.func)
            found.update(call for call in FORBIDDEN_CALLS if callee == call or callee.endswith("." + call))
            for argument in node.keywords:
                if isinstance(argument.value, ast.Constant):
                    pair = (argument.arg, argument.value.value)
                    found.update(str(wrong) for wrong in FORBIDDEN_ARGUMENTS if pair == wrong)
    return found


def without_docstring(tree):
    """Return the public functions and classes at the top of a module that say nothing about themselves."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    return [node.name for node in public if not ast.get_docstring(node)]


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_one_way(path):
    assert not wrong_imports(name_of(path), parsed(path))


def test_no_imports_go_in_a_circle():
    assert circles() == set()


def test_the_circle_rule_sees_one(tmp_path):
    for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "f")):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / f"{name}.py").write_text(f"from models.{other} import x")
    assert circles(tmp_path) == {"models/a.py", "models/b.py", "models/c.py"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_unsafe_call(path):
    assert not forbidden(parsed(path))


@pytest.mark.parametrize("path", [p for p in SOURCES if not name_of(p).startswith("stages/")], ids=name_of)
def test_public_things_have_a_docstring(path):
    tree = parsed(path)
    assert ast.get_docstring(tree), "the module"
    assert not without_docstring(tree)


STAGES = [path for path in SOURCES if path.parent.name == "stages" and path.name not in ("__init__.py", "arguments.py")]
# What computes, or repeats: a stage leaves it to pipeline/, so that no result depends on the stage's own file.
WORK = (ast.For, ast.While, ast.comprehension, ast.BinOp, ast.BoolOp, ast.Compare, ast.If, ast.Lambda)
MOST_STAGE_LINES = 45


def work_of(tree):
    """Return the names of what a stage does beyond calling; ``if __name__ == "__main__"`` and path / name are free."""
    body = [node for node in tree.body if not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))]
    nodes = [inner for node in body for inner in ast.walk(node)]
    free = [node for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    default = [node for node in nodes if isinstance(node, ast.BoolOp) and ast.unparse(node) == "__doc__ or ''"]
    return [type(node).__name__ for node in nodes if isinstance(node, WORK) and node not in (*free, *default)]


@pytest.mark.parametrize("path", STAGES, ids=name_of)
def test_a_stage_only_calls(path):
    assert work_of(parsed(path)) == []
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_STAGE_LINES


def test_the_rule_for_stages_sees_work():
    assert work_of(ast.parse("def main():\n    x = [2 * y for y in z]")) == ["BinOp", "comprehension"]


@pytest.mark.parametrize(
    ("name", "source", "seen"),
    [
        ("models/x.py", "import numpy", {"numpy"}),
        ("models/x.py", "def f():\n    from pipeline.errors import nearest", {"pipeline"}),
        ("models/x.py", "import math, torch.nn\nfrom models.flow.bijection import Chain", set()),
        ("pipeline/x.py", "import stages.train", {"stages"}),
        ("pipeline/training/loop.py", "from ray import train", {"ray"}),
        ("pipeline/training/ray_train.py", "import ray.train", set()),
        ("stages/x.py", "import mlflow", {"mlflow"}),
        ("pipeline/tracking/client.py", "import mlflow", set()),
        ("pipeline/tracking/run.py", "import mlflow", {"mlflow"}),
        ("pipeline/datasets/x.py", "import albumentations as A", {"albumentations"}),
    ],
)
def test_the_import_rules_see_a_violation(name, source, seen):
    assert wrong_imports(name, ast.parse(source)) == seen


@pytest.mark.parametrize(
    "source",
    [
        "torch.nan_to_num(x)",
        "x.nan_to_num()",
        "pickle.load(file)",
        "torch.load(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
    ],
)
def test_the_call_rules_see_a_violation(source):
    assert forbidden(ast.parse(source))


def test_the_docstring_rule_sees_a_violation():
    assert without_docstring(ast.parse("def f():\n    pass\nclass C:\n    'said'\ndef _g():\n    pass")) == ["f"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_local_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


def places_in(text):
    """Return (path, name or None) of every `path` and `path:name` in backquotes that begins with a folder of ours."""
    folders = "|".join(re.escape(folder) for folder in (*OURS, "tests", "benchmarks", "docs", ".ci"))
    return re.findall(rf"`((?:{folders})/[\w./*-]*)(?::(\w+))?`", text)


def defined(path):
    """Return the classes, functions and constants at the top of a module; what it only imports is not its own."""
    names = set()
    for node in parsed(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def lost(text):
    """Return the places that ``text`` names and that do not exist; a * stands for anything."""
    found = []
    for path, name in places_in(text):
        files = list(ROOT.glob(path))
        if not files or (name and not all(name in defined(file) for file in files)):
            found.append((path, name))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_code_that_documents_name_exists(path):
    assert lost(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("`models/flow/bijection.py:standard_normal_log_prob`", []),
        # it is imported there
        ("`models/restoration/flow.py:Bijection`", [("models/restoration/flow.py", "Bijection")]),
        ("`pipeline/no/such.py`, `docs/`", [("pipeline/no/such.py", "")]),
        ("`pipeline/training/ray_*.py`, `pipeline/nothing_*.py`", [("pipeline/nothing_*.py", "")]),
        ("`pipeline/kinds/__init__.py:KINDS` `data/prepared/x` `make test`", []),
    ],
)
def test_the_rule_for_named_code_sees_a_violation(text, seen):
    assert lost(text) == seen


def commands_of(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return set(action.choices)
    raise AssertionError("the parser has no commands")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_in_documents_exist(path):
    # a command stands at the start of a line of a code block, or in `backquotes`
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    start = r"(?:^|`|\.venv/bin/)"
    assert set(re.findall(start + r"make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert set(re.findall(start + r"steadyflow ([a-z-]+)", text, re.MULTILINE)) <= commands_of(build_parser())


def test_the_readme_names_the_commands_of_continuous_integration():
    commands = re.findall(r"^make .*$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert all(any(line.startswith(command) for line in readme) for command in commands)
