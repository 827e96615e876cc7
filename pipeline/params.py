"""Reading params.yaml: every fault is one line that names the nearest valid thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from pipeline.config import PARAMS_FILE, Params
from pipeline.errors import ConfigError, brief, nearest, printable
from pipeline.files import NotReadable, read_text
from pipeline.yaml_text import YamlFault, parse_yaml

_MOST_BYTES = 2**18  # PyYAML needs some seconds for so much
_MOST_FAULTS = 6  # in one line
_LONGEST_KEY = 70  # a name has 64 characters at most


def load_params(path: Path | str = PARAMS_FILE) -> Params:
    """Return the checked content of ``path``; every fault is a one-line ConfigError."""
    path = Path(path)
    try:
        raw = parse_yaml(read_text(path, _MOST_BYTES))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing; run from the folder that holds it") from None
    except NotReadable as error:
        raise ConfigError(f"{path} cannot be read: {error}; put the text of the settings there") from None
    except YamlFault as error:
        raise ConfigError(error.at(path)) from None
    try:
        params = Params.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from None
    _check_references(params, path)
    return params


def _check_references(params: Params, path: Path) -> None:
    """Names that point from one group into another must exist, also when no stage has asked yet."""
    from models.flow.caps import Caps
    from models.flow.transforms import TRANSFORMS  # torch: only when a file is really read
    from pipeline.kinds import KINDS
    from pipeline.stability.analyses import chosen
    from pipeline.training.regularizers import regularizer_of

    for name, variant in params.variants.items():
        if variant.transform not in TRANSFORMS:
            raise ConfigError(
                f"{path}: variants.{name}.transform {brief(variant.transform)} does not exist; "
                f"{nearest(variant.transform, TRANSFORMS)}"
            )
        transform = TRANSFORMS[variant.transform]
        for group, given, allowed in (
            ("options", variant.options, transform.options()),
            ("caps", variant.caps, Caps.names()),
        ):
            for key in given:
                if key not in allowed:
                    where = f"variants.{name}.{group}.{printable(key[:_LONGEST_KEY])}"
                    raise ConfigError(f"{path}: {where} does not exist; {nearest(key, allowed)}")
        try:
            transform(**variant.options)
            Caps(**variant.caps)
        except ValueError as error:
            raise ConfigError(f"{path}: variants.{name}: {error}") from None
    for profile, sizes in params.profiles.items():
        for name, settings in sizes.items():
            try:
                chosen(settings.stability.analyses)
            except ValueError as error:
                raise ConfigError(f"{path}: profiles.{profile}.{name}.stability.analyses: {error}") from None
            if (regularizer := settings.training.regularizer) is not None:
                try:
                    regularizer_of(regularizer.name, regularizer.options)
                except ValueError as error:
                    raise ConfigError(f"{path}: profiles.{profile}.{name}.training.regularizer: {error}") from None
    for name, task in params.tasks.items():
        if task.kind not in KINDS:
            raise ConfigError(
                f"{path}: tasks.{name}.kind {brief(task.kind)} does not exist; {nearest(task.kind, KINDS)}"
            )
        if task.scale not in KINDS[task.kind].scales:
            scales = " or ".join(map(str, KINDS[task.kind].scales))
            raise ConfigError(f"{path}: tasks.{name}.scale is {task.scale}; {task.kind} has scale {scales}")
        params.settings(name)
        params.dataset(name)
        other = params.tasks.get(task.like or name, task)
        if (other.kind, other.scale) != (task.kind, task.scale):
            raise ConfigError(
                f"{path}: tasks.{name}.like is {task.like}, {other.kind} at scale {other.scale}, whose sizes do not "
                f"fit {task.kind} at scale {task.scale}; name a task of the same kind and scale"
            )


def _explain(error: pydantic.ValidationError) -> str:
    """Return one line for all faults of a file, the nearest valid key beside each unknown one."""
    lines: list[str] = []
    # unknown keys first: a misspelt key is usually why another one is missing
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    for fault in faults[:_MOST_FAULTS]:
        where = ".".join(printable(str(part)[:_LONGEST_KEY]) for part in fault["loc"] if part != "[key]")
        if fault["type"] == "extra_forbidden":
            *parents, key = fault["loc"]
            lines.append(f"unknown key '{where}'; {nearest(str(key), _fields_at(parents))}")
        elif fault["type"] == "missing":
            lines.append(f"{where} is missing")
        else:
            lines.append(f"{where or 'file'}: {fault['msg'].lower()} (got {brief(fault['input'])})")
    more = [f"and {len(faults) - _MOST_FAULTS} more faults"] if len(faults) > _MOST_FAULTS else []
    return "; ".join([*lines, *more])


def _fields_at(parents: list[Any]) -> list[str]:
    """Return the valid keys of the object that ``parents`` leads to from the top of the file."""
    kind: Any = Params
    for part in parents:
        if _is_model(kind):
            kind = kind.model_fields[part].annotation
        else:  # dict[str, entry]: ``part`` is the name of an entry
            kind = kind.__args__[-1]
    return list(kind.model_fields) if _is_model(kind) else []


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, pydantic.BaseModel)
