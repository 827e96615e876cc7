"""The options of a study are its fields, of their types."""

import dataclasses

import pytest

from pipeline.cli import build_parser
from pipeline.commands import study
from pipeline.studies.contract import Study, option


@dataclasses.dataclass(frozen=True)
class Trial(Study):
    title = "a trial"
    plots: bool = option(True, "draw")
    quick_look: bool = option(False, "less of everything")
    count: int = option(3, "how many")

    def run(self, out):
        RAN.append(self)


RAN = []


def ran(monkeypatch, *arguments):
    monkeypatch.setattr(study, "STUDIES", {"trial": Trial})
    parsed = build_parser().parse_args(["study", "trial", "--out", "o", *arguments])
    parsed.command(parsed, [])
    return RAN[-1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Trial(True, False, 3)),
        (["--no-plots"], Trial(False, False, 3)),
        (["--plots", "--quick-look", "--count", "5"], Trial(True, True, 5)),
        (["--no-quick-look"], Trial(True, False, 3)),
    ],
)
def test_a_bool_is_a_flag_that_can_be_turned_off(arguments, expected, monkeypatch):
    assert ran(monkeypatch, *arguments) == expected


def test_a_bool_takes_no_text(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        ran(monkeypatch, "--plots=False")
    assert "--plots" in capsys.readouterr().err
