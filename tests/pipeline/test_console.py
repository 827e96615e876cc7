"""The terminal: control characters are written out, faults of the file system are one line."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.console import run_main, say, warn
from pipeline.errors import DataError, Interrupted, StartAnew
from pipeline.supervision import ALIVE

HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\u202ec\x9b31m\udcff"


@pytest.fixture
def ended(capsys, monkeypatch):
    """Return a function that runs a main and returns its exit code and what it said on standard error."""
    monkeypatch.setattr("pipeline.console.quiet_libraries", lambda: None)

    def end(main):
        with pytest.raises(SystemExit) as stop:
            run_main(main)
        return stop.value.code, capsys.readouterr().err

    return end


def test_control_characters_do_not_reach_the_terminal(ended, capsys):
    def main():
        raise DataError(HOSTILE)

    code, said = ended(main)
    assert code == 2
    assert said == "error: a\\x1b[2J\\x1b]0;owned\\x07b\\u202ec\\x9b31m\\udcff\n"
    say(HOSTILE)
    warn(HOSTILE)
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert text.strip().isprintable()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EISDIR, "is a folder, where a file is meant"),
        (errno.ENOTDIR, "a file stands where a folder is meant"),
        (errno.EEXIST, "a file stands where a folder is meant"),
        (errno.ENAMETOOLONG, "the name is too long"),
        (errno.ELOOP, "a link that leads in a circle"),
        (errno.EROFS, "can only be read"),
        (errno.ENOSPC, "no disk space left"),
    ],
)
def test_a_fault_of_the_file_system_is_one_line(ended, number, said):
    def main():
        raise OSError(number, os.strerror(number), "some/file")

    code, line = ended(main)
    assert code == 2
    assert line.startswith("error: ") and line.count("\n") == 1
    assert said in line and "some/file" in line


def test_a_real_one_names_what_was_to_be_written(ended, tmp_path):
    from pipeline.files import write_text

    (tmp_path / "name").mkdir()
    code, line = ended(lambda: write_text(tmp_path / "name", "text"))
    assert (code, line.count("\n")) == (2, 1)
    assert f"{tmp_path / 'name'}: is a folder" in line
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_other_faults_keep_their_traceback():
    def main():
        raise FileNotFoundError(errno.ENOENT, "ours", "some/file")

    with pytest.raises(FileNotFoundError):
        run_main(main)


def test_a_terminal_that_knows_no_unicode_is_written_to(monkeypatch, capfd):
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **_: None, raising=False)
    monkeypatch.setattr("rich.console.Console.encoding", property(lambda self: "ascii"))
    say("Bild é 你")
    assert "Bild \\xe9 \\u4f60" in capfd.readouterr().out


def test_a_second_signal_while_the_first_is_told_changes_nothing(monkeypatch, capfd):
    def main():
        raise Interrupted("saved")

    def told(line):
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        print(line, file=sys.stderr)

    monkeypatch.setattr("pipeline.console.complain", told)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        run_main(main)
    assert left.value.code == 130
    assert capfd.readouterr().err == "stopped: saved\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("again", [KeyboardInterrupt, Interrupted])
def test_a_second_signal_before_the_first_is_told_is_no_traceback(monkeypatch, again):
    def main():
        raise Interrupted("saved")

    def complain(line):
        raise again("again")

    monkeypatch.setattr("pipeline.console.complain", complain)
    with pytest.raises(SystemExit) as left:
        run_main(main)
    assert left.value.code == 130


ANEW = """
import os, sys, time
from pipeline.console import run_main
from pipeline.errors import StartAnew

def main():
    if "TRIED" not in os.environ:
        print("first")
        raise StartAnew("the same command goes on", {"TRIED": "once"})
    print("second", *sys.argv[1:], os.getpid(), flush=True)
    time.sleep(60)

run_main(main)
"""


def test_a_command_that_starts_anew_is_the_same_process_and_still_ends_with_its_driver(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ANEW, encoding="utf-8")
    theirs, ours = os.pipe()
    environment = {**os.environ, ALIVE: str(theirs), "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(
        [sys.executable, script, "an argument"], env=environment, pass_fds=[theirs], stdout=-1, stderr=-1, text=True
    )
    os.close(theirs)
    assert process.stdout.readline() == "first\n"
    assert process.stdout.readline() == f"second an argument {process.pid}\n"
    os.close(ours)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and said.startswith("stopped: ")


def test_a_command_that_cannot_be_started_anew_is_one_line(ended, monkeypatch, tmp_path):
    def main():
        raise StartAnew("the same command goes on", {})

    monkeypatch.setattr(sys, "executable", str(tmp_path))  # a folder
    code, said = ended(main)
    assert code == 2 and said == f"error: the same command goes on, but {tmp_path} does not start (Permission denied)\n"
