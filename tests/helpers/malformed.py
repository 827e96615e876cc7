"""Malformed content by hypothesis, and what a command must do with it: one clear line and nothing written."""

import contextlib
import copy
import io
import logging
import os
import sys
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import cli

TALLY = {}  # class of input -> [tried, bad]


@contextlib.contextmanager
def tried(what):
    """Count a case of the class ``what``, and it as bad if the block finds it so."""
    counts = TALLY.setdefault(what, [0, 0])
    counts[0] += 1
    try:
        yield
    except BaseException:
        counts[1] += 1
        raise


COMMITTED = yaml.safe_load((Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8"))
# One task in one profile: PyYAML takes 20 ms for it, and a second for the whole file.
PARAMS = {
    **COMMITTED,
    "profile": "smoke",
    "tasks": {"df2k_x4": COMMITTED["tasks"]["df2k_x4"]},
    "datasets": {"df2k": COMMITTED["datasets"]["df2k"]},
    "profiles": {"smoke": {"df2k_x4": COMMITTED["profiles"]["smoke"]["df2k_x4"]}},
}
PARAMS_TEXT = yaml.safe_dump(PARAMS)
FEW, MANY = 67, 667  # cases of a class, where it says no other numbers
# Values that YAML and JSON can say, among them those that compare in strange ways or are absurdly large.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, 1, 10**7, 10**30, float("nan"), float("inf"), -float("inf"), -0.0, 1e308, 0.5]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        ["", "..", "/etc/passwd", "a;touch PWNED", "$(id)", "\x1b[2J", "a\nb", "x" * 3000, "\u202e", "auto"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


def places(content, above=()):
    """Return every place in nested dictionaries and lists, as tuples of keys."""
    found = [above] if above else []
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in entries:
        found += places(inner, (*above, key))
    return found


@st.composite
def damaged(draw, content):
    """Return ``content`` with one or two places replaced, left out, renamed or added to."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 2))):
        *above, key = draw(st.sampled_from(places(content)))
        inner = content
        for part in above:
            inner = inner[part]
        match draw(st.sampled_from(["replace", "replace", "leave out", "rename", "add"])):
            case "leave out":
                del inner[key]
            case "rename" if isinstance(inner, dict):
                inner[draw(st.text(max_size=70))] = inner.pop(key)
            case "add" if isinstance(inner, dict):
                inner[draw(st.text(max_size=70))] = draw(VALUES)
            case _:
                inner[key] = draw(VALUES)
        if not places(content):
            break
    return content


def cut_or_flipped(text):
    """Return texts made of ``text`` by cutting it off, flipping a character, or putting something in."""
    place = st.integers(0, len(text))
    odd = st.sampled_from(
        ["", "\x00", "\x1b", "{", "[", "*a", "&a ", "!!python/name:os.system ", "\t", ": ", "\ud800", "- "]
    )
    cut = st.builds(lambda end: text[:end], place)
    put = st.builds(lambda at, what, gap: text[:at] + what + text[at + gap :], place, odd, st.integers(0, 3))
    return cut | put


@st.composite
def harm(draw, size):
    """Return what is done to a file of ``size`` bytes: a name, a place and some bytes."""
    kind = draw(st.sampled_from(["flip", "flip", "cut", "longer", "put", *OTHER_THINGS]))
    return kind, draw(st.integers(0, max(size - 1, 0))), draw(st.binary(min_size=1, max_size=9))


OTHER_THINGS = ("nothing", "empty", "folder", "loop", "fifo", "dangling")


def do_harm(path, kind, at, some):
    """Do to the file ``path`` what ``harm`` drew."""
    content = path.read_bytes()
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "dangling":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
        case "nothing":
            pass
        case _:
            flipped = content[:at] + bytes([content[at] ^ (some[0] or 1)]) + content[at + 1 :] if content else b""
            made = {"flip": flipped, "cut": content[:at], "longer": content + some, "empty": b""}
            path.write_bytes(made.get(kind, content[:at] + some + content[at + len(some) :]))


def cases(count):
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count, deadline=None, suppress_health_check=health)


def at_both_depths(check, strategy, examples=(), few=FEW, many=MANY):
    """Return ``check`` as a test of few and a slow one of many cases; ``examples``: cases that were bad once."""

    def made(count):
        decorated = given(content=strategy)(check)
        for one in examples:
            decorated = example(content=one)(decorated)
        return cases(count)(decorated)

    return made(few), pytest.mark.slow(made(many))


def tree(folder):
    """Return what is in ``folder``: paths with sizes and times of change."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def run(folder, *arguments, main=cli.main):
    """Run a command in ``folder``, in this process; return its exit code and what it said on standard error.

    ``main``: the entry point of a stage, in place of the command line's.
    """
    said, before, argv, filters = io.StringIO(), os.getcwd(), sys.argv, list(warnings.filters)  # noqa: PTH109
    try:
        os.chdir(folder)
        sys.argv = ["steadyflow", *arguments]
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = stop.code
    finally:
        os.chdir(before)
        sys.argv = argv
        warnings.filters[:] = filters  # a command silences libraries in its process
        logging.disable(logging.NOTSET)
    return code or 0, said.getvalue()


def is_one_clear_line(said):
    """Assert that ``said`` is one line that a terminal prints as it is, and not a book."""
    assert said.startswith("error: "), ascii(said)
    assert said.endswith("\n")
    line = said[:-1]
    assert line.isprintable(), ascii(line)
    assert len(line) < 2500, len(line)
