"""What the commands' options share: types that say what is wrong, and a parser whose errors are one line."""

from __future__ import annotations

import argparse
import math
import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import brief, printable

OWN_TEMPERATURE = "default: the model's own, see temperature in its config.json"
_LONGEST = 1000  # characters of what is said of a wrong command line; the names of all commands fit
_MOST_DRAWS = 10_000  # of a picture; each is a file
# (name, function, help, further options of the parser) -> the parser of that command
Add = Callable[..., argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """Wrong use is one line and exit code 2, without the usage text."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, but refuse ``--option=--``, of which it makes an empty list, whatever the type."""
        for one in sys.argv[1:] if args is None else args:
            if one.startswith("--") and one.endswith("=--"):
                self.error(f"argument {one.removesuffix('=--')}: -- is no value")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and where help is; exit code 2."""
        shown = printable(message)
        shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
        self.exit(2, f"error: {shown}; see: {self.prog} --help\n")


def positive(text: str) -> int:
    """Return a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def draws(text: str) -> int:
    """Return how many draws of a picture are wanted: 1 to 10,000."""
    value = positive(text)
    if value > _MOST_DRAWS:
        raise argparse.ArgumentTypeError(f"{brief(text)} is more than {_MOST_DRAWS:,} draws of a picture")
    return value


def temperature(text: str) -> float:
    """Return a finite number of zero or more."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number >= 0")
    return value


def place(text: str) -> Path:
    """Return the path of a file or a folder.

    An empty text, such as a shell's variable that is not set, would stand for the present folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("it is empty; give a file or a folder, . for the present one")
    if any(unicodedata.category(one) == "Cc" for one in text):
        raise argparse.ArgumentTypeError(f"{brief(text)} has control characters, such as a line end, in it")
    return Path(text)


def folder_to_write(text: str) -> Path:
    """Return the path of a folder for results; the root of a file system is a mistake, such as of an empty variable."""
    folder = place(text)
    real = Path(os.path.realpath(folder))
    if real == real.parent:
        raise argparse.ArgumentTypeError(f"{brief(text)} is the root folder; give a folder of its own for the results")
    return folder


def names(text: str) -> list[str]:
    """Return names that commas separate."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("names are expected, separated by commas")
    return found


def port(text: str) -> int:
    """Return the number of a port."""
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return value


def quantile(text: str) -> float:
    """Return a share of values, 0 or more and less than a half."""
    value = float(text)
    if not 0.0 <= value < 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not a share >= 0 and < 0.5")
    return value


def decibels(text: str) -> float:
    """Return a finite number of decibels above zero."""
    value = float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a finite number > 0")
    return value
