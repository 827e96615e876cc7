"""What the commands' options share: types that say what is wrong, and a parser whose errors are one line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NoReturn

from pipeline.errors import printable

OWN_TEMPERATURE = "default: the model's own, see temperature in its config.json"
# (name, function, help, further options of the parser) -> the parser of that command
Add = Callable[..., argparse.ArgumentParser]


class Parser(argparse.ArgumentParser):
    """Wrong use is one line and exit code 2, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and where help is; exit code 2."""
        self.exit(2, f"error: {printable(message)}; see: {self.prog} --help\n")


def positive(text: str) -> int:
    """Return a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def temperature(text: str) -> float:
    """Return a finite number of zero or more."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number >= 0")
    return value


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
