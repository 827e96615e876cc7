"""Read a stranger's checkpoint in a process of its own, with limits of memory and time.

torch's unpickler refuses to run code, yet it has had holes, and a few kilobytes can ask for all memory there is. What
reads the file is therefore a process that may take so much memory and time and no more, and that knows nothing of the
environment of this one. It leaves plain tensors (safetensors), which alone are read here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from pipeline.errors import CheckpointError, SteadyflowError, brief, printable
from pipeline.upstream.reading import check_weights_file, read_weights

_TENSORS, _FAULT = "tensors.safetensors", "fault.txt"
_SPARE_BYTES = 2**30  # beside five times the file: the file, its tensors, their float32 copies, what is written
_SIZES_OF_FILE = 5
_SECONDS, _BYTES_PER_SECOND = 120.0, 5e6  # of a slow disk
_LONGEST = 600  # characters of a fault
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR")


def read_apart(path: Path, seconds: float | None = None, spare: int = _SPARE_BYTES) -> dict[str, Tensor]:
    """Return what ``read_weights`` returns, read by another process; CheckpointError as there, and at a limit.

    ``seconds``: after which reading is given up; None for two minutes and what a slow disk needs. ``spare``: bytes
    beside five times the file.
    """
    size = check_weights_file(path)
    limit = _SECONDS + size / _BYTES_PER_SECOND if seconds is None else seconds
    with tempfile.TemporaryDirectory(prefix="steadyflow-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", __name__, str(path.absolute()), str(path), name, str(size), str(spare)]
        environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        quiet = subprocess.DEVNULL
        try:
            done = subprocess.run(
                command, check=False, cwd=name, env=environment, timeout=limit, stdin=quiet, stdout=quiet, stderr=quiet
            )
        except subprocess.TimeoutExpired:
            raise CheckpointError(f"{path} was not read after {limit:.0f} s: it is damaged, or means harm") from None
        if (folder / _FAULT).is_file():
            raise CheckpointError(printable((folder / _FAULT).read_text(encoding="utf-8")[:_LONGEST]))
        if done.returncode:
            raise CheckpointError(f"{path} could not be read: {_how(done.returncode)}; it is damaged, or means harm")
        try:
            return safetensors.torch.load_file(folder / _TENSORS)
        except (safetensors.SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} could not be read: {printable(str(error))[:_LONGEST]}") from None


def _how(code: int) -> str:
    if code < 0:
        return f"its reader was ended by {signal.Signals(-code).name}"
    return f"its reader ended with code {code}"


def _limit_memory(most: int) -> None:
    """Let this process take ``most`` bytes more than it has (Linux says how many those are) and write as many."""
    import resource  # not on Windows

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    total = pages * resource.getpagesize() + most
    resource.setrlimit(resource.RLIMIT_AS, (total, total))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(path: Path, shown: str, folder: Path, most: int) -> None:
    """Read ``path`` and write its tensors, or the line that refuses it, to ``folder``."""
    reserve = bytearray(2**20)  # to be able to say that there was no memory
    try:
        if sys.platform == "linux":
            _limit_memory(most)
        tensors = {name: tensor.contiguous().clone() for name, tensor in read_weights(path).items()}
        safetensors.torch.save_file(tensors, folder / _TENSORS)
    except SteadyflowError as error:
        fault = str(error).replace(str(path), shown)
    except (MemoryError, RuntimeError, OSError) as error:
        del reserve
        fault = f"{shown} cannot be held in five times its size: {type(error).__name__}, {brief(str(error))}"
    else:
        return
    (folder / _FAULT).write_text(fault, encoding="utf-8", errors="backslashreplace")


if __name__ == "__main__":
    _path, _shown, _folder, _size, _spare = sys.argv[1:]
    _read(Path(_path), _shown, Path(_folder), int(_spare) + _SIZES_OF_FILE * int(_size))
