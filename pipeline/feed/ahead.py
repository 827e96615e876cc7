"""Make the next few items while the current one is used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_AHEAD = 4  # items made before they are asked for


def made_ahead(make: Callable[[int], Item], start: int, stop: int) -> Iterator[Item]:
    """Yield ``make(start)`` ... ``make(stop - 1)``, made ahead in a thread.

    An error of the thread is raised here. The thread ends with the iteration, also when it is left early.
    """
    ready: queue.Queue[Item | BaseException] = queue.Queue(_AHEAD)
    left = threading.Event()

    def put(item: Item | BaseException) -> None:
        while not left.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for number in range(start, stop):
                if left.is_set():
                    return
                put(make(number))
        except BaseException as error:  # whatever it is, the consumer must hear of it
            put(error)

    thread = threading.Thread(target=work, name="crops", daemon=True)
    thread.start()
    try:
        for _ in range(start, stop):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        thread.join()
