"""The CSVs that raters send back: hostile text, read strictly; every fault is a line that names file and row."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DataError
from pipeline.ratings.blinding import Key
from pipeline.ratings.checks import ALLOWED_SHARE

COLUMNS = ("export", "rater", "picture", "answer", "seconds", "note")
ANSWERS = {"yes": True, "no": False}  # is there an artifact
_LARGEST = 10_000_000  # bytes of a file
_SHOWN = 40  # characters of a stranger's text in a message


class Rater(NamedTuple):
    """What one person said: blinded name -> whether there is an artifact."""

    name: str
    answers: dict[str, bool]
    failed_checks: int
    checks: int

    @property
    def attentive(self) -> bool:
        """Return whether few enough checks were answered wrongly."""
        return self.failed_checks <= ALLOWED_SHARE * self.checks


def read_raters(files: Sequence[Path], key: Key) -> list[Rater]:
    """Return what every rater said, a file each.

    Raises DataError for a file that is none of ours, another export's, of several raters, with unknown answers,
    numbers or pictures, with a picture twice, and for a rater who comes twice.
    """
    raters = [_read(file, key) for file in files]
    seen: dict[str, Path] = {}
    for file, rater in zip(files, raters, strict=True):
        if rater.name in seen:
            raise DataError(
                f"{file}: rater '{shown(rater.name)}' is that of {seen[rater.name]}, too; give one of the two"
            )
        seen[rater.name] = file
    return raters


def shown(text: str) -> str:
    """Return a stranger's text for a message: short, and without characters that steer a terminal."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}..."


def _read(file: Path, key: Key) -> Rater:
    rows = _rows(file)
    known = {picture.name: picture for picture in key.pictures}
    names: set[str] = set()
    answers: dict[str, bool] = {}
    for number, row in enumerate(rows, 2):
        where = f"{file}, line {number}"
        if row["export"] != key.export:
            raise DataError(f"{where}: is of export '{shown(row['export'])}', not of {key.export}; give its own folder")
        if row["picture"] not in known:
            raise DataError(f"{where}: picture '{shown(row['picture'])}' is none of this export; ask for the file anew")
        if row["picture"] in answers:
            raise DataError(f"{where}: picture {row['picture']} stands twice; ask for the file anew")
        if row["answer"] not in ANSWERS:
            raise DataError(f"{where}: answer '{shown(row['answer'])}' is neither yes nor no")
        _check_seconds(row["seconds"], where)
        answers[row["picture"]] = ANSWERS[row["answer"]]
        names.add(_unquoted(row["rater"]))
    if len(names) != 1 or not (name := names.pop()).strip():
        raise DataError(f"{file}: needs answers of one rater with a name, has {len(names) + bool(names)}; a file each")
    checks = [known[picture] for picture in answers if known[picture].check]
    failed = sum(answers[check.name] != (check.check == "broken") for check in checks)
    return Rater(name, answers, failed, len(checks))


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        if not file.is_file():
            raise DataError(f"{file} is no file; give the CSVs that raters saved")
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file} has more than {_LARGEST // 10**6} MB, which no rater writes")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is no UTF-8 text; give the CSV as the page saved it") from None
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise DataError(f"{file}, line 1: needs the columns {','.join(COLUMNS)}; give the CSV as the page saved it")
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{file}: no valid CSV ({error}); give it as the page saved it") from None
    if bad := next((n for n, row in enumerate(rows, 2) if None in row or None in row.values()), None):
        raise DataError(f"{file}, line {bad}: needs {len(COLUMNS)} fields; give the CSV as the page saved it")
    if not rows:
        raise DataError(f"{file} holds no answer")
    return rows


def _check_seconds(text: str, where: str) -> None:
    try:
        good = math.isfinite(float(text)) and float(text) >= 0
    except ValueError:
        good = False
    if not good:
        raise DataError(f"{where}: seconds '{shown(text)}' is no number of seconds")


def _unquoted(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:2] in tuple("=+-@\t\r'") else text
