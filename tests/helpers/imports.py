"""What a module of ours imports, directly and through others, read from the source."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("models", "pipeline", "stages")


def imported_by(path: Path, root: Path = ROOT) -> set[Path]:
    """Return our files that ``path`` imports anywhere, inside of functions too, and their packages' __init__."""
    found: set[Path] = set()
    for node in ast.walk(_parsed(path, path.stat().st_mtime_ns)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] in OURS:
                found.update(_files([".".join(parts[:end]) for end in range(1, len(parts) + 1)], root))
    return found - {path}


def closure(start: Path, stop: tuple[str, ...] = (), root: Path = ROOT) -> set[str]:
    """Return what ``start`` leads to, relative to ``root`` and without itself; ``stop`` leads no further."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        name = path.relative_to(root).as_posix()
        if path == start or not any(name == place or name.startswith(f"{place}/") for place in stop):
            todo.extend(imported_by(path, root))
    return {path.relative_to(root).as_posix() for path in seen - {start}}


def circles(root: Path = ROOT) -> set[str]:
    """Return our files that lie on or between circles of imports, those for type checkers included.

    A package's __init__ counts where it is named, not where a module of the package is.
    """
    files = [path for folder in OURS for path in (root / folder).rglob("*.py")]
    targets = {path: _named(path, root) - {path} for path in files}
    while leaves := [path for path, named in targets.items() if not named & targets.keys()]:
        for path in leaves:  # it leads to nothing that is left, so it lies on no circle
            del targets[path]
    used = {path: {other for other, named in targets.items() if path in named} for path in targets}
    while unused := [path for path in used if not used[path] & used.keys()]:
        for path in unused:
            del used[path]
    return {path.relative_to(root).as_posix() for path in used}


def _named(path: Path, root: Path) -> set[Path]:
    found: set[Path] = set()
    for node in ast.walk(_parsed(path, path.stat().st_mtime_ns)):
        if isinstance(node, ast.Import):
            found.update(_files([alias.name for alias in node.names if alias.name.split(".")[0] in OURS], root))
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module and node.module.split(".")[0] in OURS:
            inner = _files([f"{node.module}.{alias.name}" for alias in node.names], root)
            found.update(inner or _files([node.module], root))
    return found


@functools.cache
def _parsed(path: Path, changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _files(modules: list[str], root: Path) -> set[Path]:
    places = [root / module.replace(".", "/") for module in modules]
    files = [place.with_suffix(".py") for place in places] + [place / "__init__.py" for place in places]
    return {file for file in files if file.is_file()}
