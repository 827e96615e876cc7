"""docs/search.md: its searches are valid, its files are those that are written, its stages are in dvc.yaml."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pipeline.cli import build_parser
from pipeline.config import Params
from pipeline.params import load_params
from pipeline.searches.flows import FlowSpace
from pipeline.studies.searches import study_space

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")


def test_the_searches_of_the_document_are_valid():
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | yaml.safe_load(block)
    params = Params.model_validate(content)
    assert len(study_space("mine", params).settings()) == 6
    lively = FlowSpace("lively", params.searches.flows["lively"], params)
    lively.check()
    assert [one.design.options["eps"] for one in lively.settings()] == [0.05, 0.1, 0.2]


def test_the_commands_of_the_document_name_searches_and_stages():
    params = load_params(ROOT / "params.yaml")
    named = re.findall(r"^\.venv/bin/steadyflow (search) (\w+)$", TEXT, re.M)
    assert {name for _, name in named} == {*params.searches.studies, *params.searches.flows}
    for command in named:
        assert build_parser().parse_args(command).name == command[1]
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert set(re.findall(r"dvc repro (\w+)", TEXT)) == {"search", "search_flow"} <= set(stages)
