"""Command lines that must be refused, by class: a valid command with one of its arguments made impossible."""

import os

from hypothesis import strategies as st

# What is no folder of a model, no picture and no place to write to, in a project that ``make_places`` filled.
NOWHERE = ["", "none", "file/x", "x" * 300, "a\nb", "\x1b[2J", "~nobody/x", "\udcff", "/proc/x/y"]
NO_FILE = ["fifo", "loop", "empty", "file", "cut.png", "/dev/null", "/proc/self/mem", "hollow"]
UNWRITABLE = ["", "fifo", "loop", "file", "file/x", "x" * 300, "a\nb", "\x1b[2J", "/proc/x/y", "/dev/null", "a.png"]
ROOT = ["/", "//", "/..", "/usr/../", "up/../../../../../../../../../../../.."]
NO_NUMBER = ["", "x", "nan", "-inf", "inf", "--", "0x10", "1e400", "9" * 5000, "\x1b[2J", "-1", "1;2", "½"]
NO_NAME = ["", "..", "a;touch PWNED", "$(id)", "\x1b[2J", "x" * 3000, "\u202e", "Affine", "df2k_x4 ", "-"]

SAMPLE = ["sample", "--model", "model", "--input", "a.png", "--out", "out"]
EVALUATE = ["evaluate", "--model", "model", "--reference", "pictures", "--out", "out", "--draws", "1"]
STABILITY = ["stability", "--model", "model", "--out", "out", "--analyses", "certified_bound"]
SHIELD = ["shield", "--model", "model", "--pictures", "pictures", "--out", "out"]
IMPORT = ["import", "--weights", "file", "--out", "out"]
CHAMPION = ["champion", "--task", "df2k_x4", "--variant", "affine"]
EXPORT = ["ratings", "export", "--task", "df2k_x4", "--out", "out"]
STUDY = ["study", "depth_error", "--depth", "4", "--out", "out"]
WITH_MODELS = (SAMPLE, EVALUATE, STABILITY, SHIELD)

# class of issue -> (command, option, what makes it impossible)
MODEL = [(command, "--model", [*NOWHERE, *NO_FILE]) for command in WITH_MODELS]
OUT = [(command, "--out", [*UNWRITABLE, *ROOT]) for command in (*WITH_MODELS, STUDY, EXPORT)]
PICTURES = [
    *((SAMPLE, "--input", [*NOWHERE, *NO_FILE]), (EVALUATE, "--reference", [*NOWHERE, *NO_FILE])),
    *((EVALUATE, "--input", [*NOWHERE, *NO_FILE]), (STABILITY, "--inputs", [*NOWHERE, *NO_FILE])),
    *((SHIELD, "--pictures", [*NOWHERE, *NO_FILE]), (SHIELD, "--input", [*NOWHERE, *NO_FILE])),
]
OPTIONS = [
    *((IMPORT, "--weights", [*NOWHERE, *NO_FILE]), (IMPORT, "--override", ["=", "a", "x.y.z=1", "|", "a\nb"])),
    *((command, "--draws", [*NO_NUMBER, "0", "1.5", str(10**30)]) for command in (SAMPLE, EVALUATE, EXPORT)),
    *((command, "--temperature", NO_NUMBER) for command in (SAMPLE, EVALUATE, STABILITY)),
    *((command, "--tile", [*NO_NUMBER, "0", "1.5"]) for command in (SAMPLE, EVALUATE)),
    *((command, "--seed", [*NO_NAME, "1e9", "1.5"]) for command in (SAMPLE, EVALUATE, CHAMPION, EXPORT)),
    (EVALUATE, "--quantization", NO_NAME),
    (STABILITY, "--analyses", [*NO_NAME, ",", "all,x"]),
    (SHIELD, "--quantile", [*NO_NUMBER, "0.5", "2"]),
    (SHIELD, "--budget", [*NO_NUMBER, "0"]),
    *((command, option, NO_NAME) for command in (CHAMPION, EXPORT) for option in ("--task",)),
    *((CHAMPION, "--variant", NO_NAME), (EXPORT, "--what", NO_NAME[1:]), (EXPORT, "--checks", NO_NUMBER)),
    (EXPORT, "--variants", NO_NAME[1:]),
    *((["repro"], "--jobs", [*NO_NUMBER, "0", "1.5"]), (["ui"], "--port", [*NO_NUMBER, "0", "65536"])),
    (["ui"], "--host", ["", " ", "999.1.1.1", "a b", "x" * 3000, "\x1b[2J"]),
    (["search"], None, NO_NAME),
    *((["check-data"], "--task", NO_NAME[1:]), (["check-data"], "--dataset", NO_NAME[1:])),
    *((["check-paper"], option, NO_NAME[1:]) for option in ("--task", "--variant", "--profile")),
    (["check-paper"], "--batch", [*NO_NUMBER, "0"]),
    *((STUDY, option, NO_NUMBER[:4]) for option in ("--depth", "--scale", "--shift")),
    (["ratings", "import", "--export", "pictures", "a.csv"], "--export", [*NOWHERE, *NO_FILE]),
    ([], None, NO_NAME),
]
CLASSES = {"model folders": MODEL, "--out": OUT, "pictures": PICTURES, "options": OPTIONS}


def commands(table):
    """Return a strategy for the command lines of ``table``."""

    @st.composite
    def draw_one(draw):
        command, option, values = draw(st.sampled_from(table))
        return put(command, option, draw(st.sampled_from(values)))

    return draw_one()


def put(command, option, value):
    """Return ``command`` with ``value`` for ``option``; None: as an argument of its own."""
    if option is None:
        return [*command, value]
    if option in command:
        at = command.index(option) + 1
        return [*command[:at], value, *command[at + 1 :]]
    return [*command, f"{option}={value}"]


def make_places(folder, picture):
    """Fill ``folder`` with the places that the tables name; ``picture``: the bytes of a PNG."""
    (folder / "pictures").mkdir()
    for name in ("a.png", "pictures/a.png"):
        (folder / name).write_bytes(picture)
    (folder / "cut.png").write_bytes(picture[: len(picture) // 2])
    (folder / "file").write_text("x", encoding="utf-8")
    (folder / "empty").touch()
    (folder / "hollow").mkdir()
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
