"""MLflow's own page on this machine, with the addresses of comparisons of the current runs."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.console import say, warn
from pipeline.errors import TrackingError, printable
from pipeline.tracking.comparison import charts, comparisons
from pipeline.tracking.store import artifact_location, sqlite_file, tracking_uri

_LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::")
_LONGEST_HOST = 253  # characters of a name
_START_SECONDS = 90.0
_STOP_SECONDS = 10.0


def ui_command(uri: str, host: str, port: int) -> list[str]:
    """Return the command that serves the tracking store ``uri``; one worker needs a third of the memory."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    if database := sqlite_file(uri):
        command += ["--artifacts-destination", artifact_location(database)]
    if not is_loopback(host) and "MLFLOW_SERVER_ALLOWED_HOSTS" not in os.environ:
        command += ["--allowed-hosts", ",".join(_addressed_as(host, port))]
    return [*command, "--workers", "1", "--host", host, "--port", str(port)]


def serve_ui(root: Path, host: str = _LOOPBACK, port: int = 5000, configured: str = "auto") -> None:
    """Serve MLflow until Ctrl-C and print where the current runs stand side by side.

    Raises TrackingError if ``host`` is empty, the port is occupied or the server does not start. If ``configured``
    (runtime.tracking_uri) or MLFLOW_TRACKING_URI names a server elsewhere, only the addresses are printed.
    """
    if not host.strip():
        raise TrackingError(f"--host is empty, which would listen on every address; leave it out for {_LOOPBACK}")
    uri = tracking_uri(root, configured)
    if uri.startswith(("http://", "https://")):
        _print_addresses(root, uri.rstrip("/"), configured)
        return
    _check_port(host, port)
    if not is_loopback(host):
        who = "whoever reaches this machine" if host in _EVERYWHERE else f"whoever reaches {host}"
        warn(f"{who} on port {port} can read, change and delete all runs: MLflow asks for no password")
    shown = f"http://{_bracketed(host if host not in _EVERYWHERE else _LOOPBACK)}:{port}"
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # Its own session: Ctrl-C reaches this process alone, which then ends the server and its worker in order.
    with (root / "mlflow.db.log").open("w") as log:
        server = subprocess.Popen(
            ui_command(uri, host, port), env=environment, start_new_session=True, stdout=log, stderr=log
        )
        with _watched(server), _ended_with_us(server):
            _wait_until_ready(server, shown, Path(log.name))
            _print_addresses(root, shown, configured)
            say("Ctrl-C ends the server")
            server.wait()
            raise TrackingError(f"MLflow's server ended by itself; see {log.name}")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach ``host``; a name is looked up nowhere but for ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _addressed_as(host: str, port: int) -> list[str]:
    """Return what the Host header of a request may say; MLflow refuses all else, against rebinding of names.

    Listening on every address, the server may be called by the names and the addresses of this machine.
    """
    names = {host, "localhost", _LOOPBACK, "::1"}
    if host in _EVERYWHERE:
        names |= {socket.gethostname(), socket.getfqdn()}
        families = (socket.AF_INET, socket.AF_INET6)
        addresses = (one for several in psutil.net_if_addrs().values() for one in several)
        names |= {one.address.partition("%")[0] for one in addresses if one.family in families}
    return sorted(f"{_bracketed(name)}{end}" for name in names - {*_EVERYWHERE} for end in ("", f":{port}"))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that just ended is no hindrance
        try:
            probe.bind((host, port))
        except OSError as error:
            raise TrackingError(
                f"cannot listen on {printable(host[:_LONGEST_HOST])}:{port} ({error.strerror or error}); "
                f"choose another port, e.g. steadyflow ui --port {port + 1 if port < 65535 else 5000}"
            ) from None


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):
            return
        time.sleep(0.2)
    raise TrackingError(f"MLflow's server did not start; see {log}")


def _print_addresses(root: Path, server: str, configured: str) -> None:
    experiment, found = comparisons(root, configured)
    if not found:
        say(f"{server}  (no runs yet: `make repro` makes them)")
        return
    say(f"all runs:  {charts(server, experiment)}")
    for one in found:
        say(one.name)
        say(f"  charts and pictures:  {one.charts(server, experiment)}")
        say(f"  side by side:  {one.side_by_side(server, experiment)}")


@contextlib.contextmanager
def _ended_with_us(server: subprocess.Popen[bytes]) -> Iterator[None]:
    """However the block is left, the server and its worker end; Ctrl-C and SIGTERM leave it quietly."""

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _end(server)


@contextlib.contextmanager
def _watched(server: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have the server end also if this process is killed outright: a shell waits for the end of a pipe of ours."""
    group = f"-{server.pid}"
    script = 'read -r _; kill -s TERM -- "$0"; sleep 5; kill -s KILL -- "$0"'
    quiet = subprocess.DEVNULL
    watch = subprocess.Popen(
        ["/bin/sh", "-c", script, group], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        yield
    finally:
        watch.kill()  # the server has ended; the pipe has not
        watch.communicate()


def _end(server: subprocess.Popen[bytes]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_SECONDS)
            return
