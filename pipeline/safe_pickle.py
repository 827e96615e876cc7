"""Read published pickles as data: lists, dictionaries, numbers, text and numeric arrays, and nothing else.

A pickle is a program. This reader lets it call nothing of Python's or numpy's: what it asks for by name is
answered with a stand-in that only records, or refused. Arrays are then made here from the recorded bytes.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pictures.decode import Unreadable
from pipeline.pictures.folders import shown

_CODES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "b1")
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip
_PLAIN = (int, float, str, bytes, type(None))  # bool is an int
_LARGEST_SHARE = 0.8  # of the free memory: a pickle can only be read whole


def read_pickle(path: Path) -> Any:
    """Return the content of a pickle: lists, dictionaries, numbers, text and numeric arrays within one another.

    Keys and text written by Python 2 come as bytes. Unreadable says why a file is refused: it asks for anything
    but arrays (whatever that is, it is not run), is damaged, or is larger than the memory.
    """
    import psutil

    size, free = path.stat().st_size, psutil.virtual_memory().available
    if size > _LARGEST_SHARE * free:
        raise Unreadable(f"{size / 2**30:.1f} GiB, to be read at once into {free / 2**30:.1f} GiB of free memory")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
        return _plain(content, {})
    except MemoryError:
        raise Unreadable("asks for more memory than there is; it is damaged, or means harm") from None
    except _DAMAGE as error:
        why = shown(f"{type(error).__name__}: {error}")
        raise Unreadable(f"not a pickle of plain lists and arrays ({why})") from None


class _Recorder:
    """Stands for what numpy's pickles name; it is called, given a state, and does nothing else.

    It takes every state by ``__setstate__``, so a pickle cannot set attributes, neither here nor on the class.
    """

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Recorder):
    __slots__ = ()


class _Dtype(_Recorder):
    __slots__ = ()


_ADMITTED: dict[tuple[str, str], type[_Recorder]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")
        return _ADMITTED[module, name]


def _plain(item: Any, done: dict[int, Any]) -> Any:
    """Return ``item`` with arrays in place of what stands for them.

    ``done`` has the results by the identity of their originals: a few bytes can name one list a million times, in
    itself too, which ends as a RecursionError.
    """
    if id(item) in done:
        return done[id(item)]
    if isinstance(item, list):
        result: Any = [_plain(inner, done) for inner in item]
    elif isinstance(item, dict):
        result = {_plain(key, done): _plain(inner, done) for key, inner in item.items()}
    elif isinstance(item, _Array):
        result = _array(item)
    elif isinstance(item, _PLAIN):
        result = item
    else:
        raise ValueError("it holds something that is neither an array nor plain")
    done[id(item)] = result
    return result


def _array(record: _Array) -> NDArray[Any]:
    _version, shape, dtype, column_major, raw = record.state
    code = dtype.arguments[0] if isinstance(dtype, _Dtype) else None
    code = code.decode() if isinstance(code, bytes) else code
    if code not in _CODES or not isinstance(raw, bytes):
        raise ValueError("it holds an array that is not numeric")
    order = ">" if dtype.state and dtype.state[1] in (">", b">") else "<"
    kind = np.dtype(order + code)
    if not all(isinstance(side, int) and side >= 0 for side in shape) or len(raw) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"an array of shape {shape} does not have {len(raw)} bytes")
    return np.ascontiguousarray(np.frombuffer(raw, kind).reshape(shape, order="F" if column_major else "C"))
