"""Where in a flow a layer stands."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer's level and step, both counted from 1 (0: it belongs to none), and what it does there.

    ``role``: such as "coupling", "noise coupling", "1x1", "squeeze". ``transition``: the step is one of those without
    a coupling, which follow a squeeze. As text: "level 2 step 3 noise coupling", "level 1 transition 2 actnorm".
    """

    level: int
    step: int
    role: str
    transition: bool = False

    def __str__(self) -> str:
        parts = [f"level {self.level}"] if self.level else []
        if self.step:
            parts += [f"{'transition' if self.transition else 'step'} {self.step}"]
        return " ".join([*parts, self.role])
