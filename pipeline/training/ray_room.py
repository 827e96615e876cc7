"""Whether Ray still looks for room for a group of workers, which in a shared cluster has no limit, or has found it."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any

from ray.train.v2._internal.execution.callback import ControllerCallback

from pipeline.files import write_text

_LOOK = 30.0  # seconds at the most that Ray looks for room at a time; well below what workers may take to begin
_LIMIT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"


class LooksForRoom(ControllerCallback):
    """Changes ``file`` each time that Ray's controller begins to look for room, which it does again and again.

    So a file that does not change any more while no worker begins tells of a group that hangs: a worker that is frozen,
    or a node that was killed just then. To be made before the trainer, which hands its environment to the controller.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        os.environ[_LIMIT] = str(min(_LOOK, float(os.environ.get(_LIMIT, _LOOK))))

    def on_controller_start_worker_group(self, **given: Any) -> None:
        """Change the file; called by Ray Train in its controller's process."""
        with contextlib.suppress(OSError):
            write_text(self.file, f"{uuid.uuid4()}\n")
