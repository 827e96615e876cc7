"""What is freed goes back to the operating system, though something above it is still in use."""

import ctypes
import platform

import pytest
import torch
from psutil import Process

from pipeline.inference.freed_memory import give_back_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the GNU C library's alone")
def test_what_lies_below_a_piece_in_use_is_given_back():
    pieces = [torch.ones(2**14) for _ in range(2000)]  # 64 KiB each, which the library takes from one heap
    above = torch.ones(2**14)
    del pieces
    before = Process().memory_info().rss
    give_back_freed_memory()
    assert Process().memory_info().rss < before - 100 * 2**20
    assert above.sum() == 2**14


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back_freed_memory()
