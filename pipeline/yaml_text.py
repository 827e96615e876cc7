"""YAML of a stranger: plain data only, no key twice, and no more of it than a person could have written.

A few lines of YAML can stand for gigabytes, since an alias repeats what its anchor names, aliases within it included.
What a text stands for is therefore counted before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from pipeline.errors import brief

_MOST_NODES = 100_000  # keys and values with aliases written out; the committed params.yaml has some 4,000
_DAMAGE = (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError)


class YamlFault(Exception):
    """Why a text is no YAML of ours; ``line`` counts from 1, None where no line is to blame."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line

    def at(self, file: object, what: str = "") -> str:
        """Return the fault as one line that begins with the name of the file; ``what`` stands before the reason."""
        return f"{file}{f', line {self.line}' if self.line else ''}: {what}{self}"


def parse_yaml(text: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """Return what ``text`` says, made of plain data; YamlFault says in a few words why it is refused.

    Refused: what is no YAML or several documents, a key that stands twice in one place, values that cannot be what
    their tag says, aliases that lead in a circle or stand for more than 100,000 entries.
    """
    try:
        reader = loader(text)
        try:
            root = reader.get_single_node()
            if root is None:
                return None
            _size(root, {})
            _check_keys(root, set())
            return reader.construct_document(root)
        finally:
            reader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlFault(f"not valid YAML ({error.problem or error.context})", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise YamlFault(f"not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise YamlFault("lists and keys within one another too deep to be read") from None
    except _DAMAGE as error:  # what PyYAML lets through for a number or a date that is none
        raise YamlFault(f"a value is not what it is marked as ({brief(str(error))})") from None


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many nodes ``node`` stands for; ``known`` has those of finished nodes, None for one under way."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise YamlFault("an alias leads back to what holds it", node.start_mark.line + 1)
        return size
    known[id(node)] = None
    size = 1 + sum(_size(child, known) for child in _children(node))
    if size > _MOST_NODES:
        raise YamlFault(
            f"stands for more than {_MOST_NODES:,} entries when its aliases are written out", node.start_mark.line + 1
        )
    known[id(node)] = size
    return size


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(node: yaml.Node, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[Hashable, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in lines:
                first = lines[key.tag, key.value]
                raise YamlFault(f"the key {brief(key.value)} stands there already in line {first}; keep one", line)
            lines[key.tag, key.value] = line
    for child in _children(node):
        _check_keys(child, seen)
