"""MLflow's server on 127.0.0.1, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_SECONDS = 90.0  # until it must answer
_SERVER = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class serving:
    """A server over ``folder/mlflow.db``; entered again, it is started again."""

    def __init__(self, folder: Path, port: int, *options: str, **environment: str) -> None:
        self.folder, self.port, self.process = folder, port, None
        store = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--port", str(port)]
        own = options or ("--artifacts-destination", str(folder / "mlartifacts"))
        self.line = [*_SERVER, *store, *own]
        self.environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}

    def __enter__(self) -> serving:
        self.process = subprocess.Popen(
            self.line,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.2)
        raise TimeoutError(f"no server on port {self.port}")

    def kill(self) -> None:
        """End it at once, with its processes; nothing where it is not running."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.kill()
