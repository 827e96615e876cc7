"""One experiment: a task, a variant and a seed with all of their settings, resolved and checked.

It is made from params.yaml once and then carries its settings itself, to workers on other machines too: whoever
varies a value makes another experiment with ``vary`` and needs no file.
"""

from __future__ import annotations

from typing import Any

import pydantic

from pipeline.config import SHIELDED, Params, RuntimeConfig, ShieldConfig, Strict, Task, TaskProfile, VariantConfig


class Experiment(Strict):
    """What a training and all that follows from it is told; ``variant`` None: the encoder that variants start from.

    ``problem`` says what is restored, ``design`` which transform the flow's conditional maps have, ``settings`` all
    sizes and schedules. ``shield``: of a variant that is no training but a shield around one. ``runtime`` changes no
    result.
    """

    task: str
    variant: str | None = None
    seed: int
    profile: str
    problem: Task
    design: VariantConfig | None = None
    shield: ShieldConfig | None = None
    settings: TaskProfile
    runtime: RuntimeConfig = RuntimeConfig()

    @pydantic.model_validator(mode="after")
    def _a_variant_has_a_design(self) -> Experiment:
        if (self.variant is None) != (self.design is None):
            raise ValueError("variant and design go together")
        return self

    @classmethod
    def of(cls, params: Params, task: str, seed: int, variant: str | None = None) -> Experiment:
        """Return an experiment of params.yaml; ConfigError for a task, a variant or a seed that is not there."""
        return cls(
            task=task,
            variant=variant,
            seed=params.seed(seed),
            profile=params.profile,
            problem=params.task(task),
            design=params.variant(variant) if variant is not None else None,
            shield=params.shield(variant) if variant is not None else None,
            settings=params.settings(task),
            runtime=params.runtime,
        )

    @property
    def trained(self) -> str | None:
        """Return the variant that is trained: itself, or the one inside of the shield."""
        return self.variant.removesuffix(SHIELDED) if self.variant and self.shield else self.variant

    @property
    def name(self) -> str:
        """Return what people call it, such as ``df2k_x4 affine seed 10``."""
        return f"{self.task} {self.variant or 'encoder'} seed {self.seed}"

    def vary(self, changes: dict[str, Any]) -> Experiment:
        """Return a copy with other values at dotted places such as ``settings.training.learning_rate``.

        Raises pydantic.ValidationError for a value that may not be, KeyError for a place that does not exist.
        """
        content = self.model_dump()
        for place, value in changes.items():
            *above, last = place.split(".")
            inner = content
            for part in above:
                inner = inner[part]
            if last not in inner and "options" not in above and "caps" not in above:
                raise KeyError(place)
            inner[last] = value
        return type(self).model_validate(content)

    def resolved(self) -> dict[str, Any]:
        """Return its part of artifacts/settings.json (pipeline/settings.py)."""
        variants = {self.trained: self.design.model_dump(mode="json")} if self.design else {}
        shields = {self.trained: self.shield.model_dump(mode="json")} if self.shield else {}
        task = {"problem": self.problem.model_dump(mode="json"), **self.settings.model_dump(mode="json")}
        return {"profile": self.profile, "tasks": {self.task: task}, "variants": variants, "shields": shields}
