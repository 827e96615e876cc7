"""The options of a study are its fields, of their types."""

import dataclasses

import pytest

from pipeline.cli import build_parser
from pipeline.commands import study
from pipeline.studies import running
from pipeline.studies.contract import Study, option


@dataclasses.dataclass(frozen=True)
class Trial(Study):
    name = "trial"
    title = "a trial"
    plots: bool = option(True, "draw")
    quick_look: bool = option(False, "less of everything")
    count: int = option(3, "how many")

    def check(self):
        pass

    def run(self, lab):
        raise NotImplementedError


@dataclasses.dataclass
class Page:
    found: list


def ran(monkeypatch, tmp_path, *arguments):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "STUDIES", {"trial": Trial})
    monkeypatch.setattr(running, "run_study", lambda *given: seen.append(given) or Page(["done"]))
    parsed = build_parser().parse_args(["study", "trial", "--out", "o", *arguments])
    assert parsed.command(parsed, []) == 0
    return seen[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Trial(True, False, 3)),
        (["--no-plots"], Trial(False, False, 3)),
        (["--plots", "--quick-look", "--count", "5"], Trial(True, True, 5)),
        (["--no-quick-look"], Trial(True, False, 3)),
    ],
)
def test_a_bool_is_a_flag_that_can_be_turned_off(arguments, expected, monkeypatch, tmp_path):
    assert ran(monkeypatch, tmp_path, *arguments)[0] == expected


def test_results_go_where_they_are_asked_for(monkeypatch, tmp_path):
    _, root, out, *_ = ran(monkeypatch, tmp_path)
    assert (root, out.name) == (tmp_path, "o")


def test_a_bool_takes_no_text(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        ran(monkeypatch, tmp_path, "--plots=False")
    assert "--plots" in capsys.readouterr().err
