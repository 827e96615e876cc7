"""Open a published .pth: a table of named tensors, and nothing in the file is ever run (isolated.py: apart from us)."""

from __future__ import annotations

import pickletools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import CheckpointError
from pipeline.files import NotReadable, check_file

_WRAPPERS = ("state_dict", "params_ema", "params")  # keys under which other tools store the table
_PARALLEL = "module."  # what DataParallel puts before every name
_GLOBAL = re.compile(r"(?:GLOBAL|Unsupported class) (\S+)")  # as torch's unpickler names what it refuses


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the float32 tensors of a checkpoint by their published names.

    Raises CheckpointError for a file that is missing, cut off, no checkpoint, or would have to run code.
    """
    tensors = _table(path, _load(path))
    odd = [name for name, value in tensors.items() if not _is_float(value)]
    if odd:
        raise CheckpointError(f"{path}: '{odd[0]}' is no tensor of floats; give the network's own file (*_G.pth)")
    return {name.removeprefix(_PARALLEL): value.detach().float() for name, value in tensors.items()}


def check_weights_file(path: Path) -> int:
    """Return the bytes of a checkpoint; CheckpointError where there is no file that could be read to its end."""
    try:
        return check_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; give the published .pth file") from None
    except NotReadable as error:
        raise CheckpointError(f"{path} cannot be opened: {error}") from None


def _load(path: Path) -> Any:
    check_weights_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: the error says enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error.strerror or error}") from None
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise CheckpointError(
                f"{path} asks for more memory than a file of its size needs: it is damaged, or means harm"
            ) from None
        # the unpickler refuses everything but tensors and plain containers, before it is called
        named = _GLOBAL.search(str(error))
        wanted = named[1] if named else _wanted_by_a_bare_pickle(path)
        if wanted:
            raise CheckpointError(
                f"{path} asks to run '{wanted}' while it is read; nothing was run. A checkpoint holds tensors alone: "
                "get it from its authors again"
            ) from None
        size = path.stat().st_size
        raise CheckpointError(
            f"{path} is cut off, damaged or no checkpoint of torch ({size:,} bytes); download it again"
        ) from None


def _wanted_by_a_bare_pickle(path: Path) -> str:
    """Return the first function that a pickle which torch cannot follow would call, or nothing; looks, runs nothing."""
    words: list[str] = []
    with path.open("rb") as file:
        try:
            for code, argument, _ in pickletools.genops(file):
                if code.name == "GLOBAL":
                    return str(argument).replace(" ", ".")
                if code.name == "STACK_GLOBAL":
                    return ".".join(words[-2:])
                words += [argument] if isinstance(argument, str) else []
        except Exception:
            return ""  # no pickle, or none from here on
    return ""


def _table(path: Path, content: Any) -> Mapping[str, Any]:
    """Return the mapping of names to tensors within what the file holds."""
    if isinstance(content, Mapping) and {"optimizers", "schedulers"} & set(content):
        raise CheckpointError(f"{path} is a training state, which holds no weights; give the *_G.pth saved beside it")
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path} holds no table of named tensors, but a {type(content).__name__}")
    return content


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
