"""Splines as one loop, by ``torch.compile``, where that is asked for and there is a compiler.

A spline is some forty operations, each a pass over memory and, on a GPU, a kernel to start. Compiled it is one. That
takes seconds per process before it pays, a minute the first time on a machine, and rounds otherwise than the operations
one by one: nothing is compiled unless ``compile_splines`` was called (docs/performance.md has what it gains).
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch

# Of one function: types, one picture or several, strides. Past this many, torch would go on without.
_MOST_FORMS = 64


class _Asked:
    """What was asked for last, by the whole process: a backward pass may run in another thread."""

    wanted = False


def compile_splines(wanted: bool, device: torch.device) -> None:
    """Have splines compiled from now on, or not any more. Raises RuntimeError where torch finds no compiler."""
    if wanted:
        torch._dynamo.config.recompile_limit = _MOST_FORMS
        torch._dynamo.config.specialize_float = True  # a spline's numbers are constants of it
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")  # constants
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it says that there is no GPU
        try:
            torch.compile(torch.sin)(torch.ones(2, device=device))
        except Exception as error:  # of many kinds, by what is missing
            raise RuntimeError(str(error).strip().partition("\n")[0]) from error
    _Asked.wanted = wanted


def wanted() -> bool:
    """Return whether splines are compiled."""
    return _Asked.wanted


@functools.lru_cache(maxsize=64)
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what ``torch.compile`` makes of ``function``, which can be hashed, for any shapes."""
    made: Callable[..., Any] = torch.compile(function, dynamic=True)
    return made
