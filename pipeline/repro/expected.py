"""How long stages take: which one goes first, and how long all of them will take together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pipeline.config import SHIELDED

# Seconds of a stage that was never timed: what counts is which kind takes longer. From the demo profile on one core.
_USUAL = {
    "settings": 2,
    "prepare": 3,
    "pretrain": 18,
    "train": 32,
    "shield": 25,
    "sample": 9,
    "evaluate": 7,
    "stability": 33,
    "report": 25,
}
_OTHERS = 45.0  # a study


def usual_seconds(name: str, timed: Mapping[str, float]) -> float:
    """Return how long the stage ``name`` took last time, else what stages of its kind usually take."""
    return timed.get(name, float(_USUAL.get(name.partition("@")[0].removesuffix(SHIELDED), _OTHERS)))


class Plan:
    """The stages of a run by name, each with those that it needs and how long it is expected to take."""

    def __init__(self, needs: Mapping[str, Iterable[str]], timed: Mapping[str, float]) -> None:
        """``needs`` has every stage after those that it needs; ``timed``: seconds that stages took before."""
        stages = list(needs)
        self.needs = {stage: set(others) for stage, others in needs.items()}
        self.seconds = {stage: usual_seconds(stage, timed) for stage in stages}
        # seconds from the start of a stage to the end of the last one that has to wait for it
        self.path = dict(self.seconds)
        for stage in reversed(stages):
            for other in self.needs[stage]:
                self.path[other] = max(self.path[other], self.seconds[other] + self.path[stage])
        self._order = sorted(stages, key=lambda stage: -self.path[stage])
        self._taken = 0.0  # seconds of stages that were run to their end
        self._expected = 0.0  # seconds that they were expected to take

    def ready(self, done: Collection[str], started: Collection[str]) -> list[str]:
        """Return the stages that can start, the one with the longest path first."""
        return [stage for stage in self._order if stage not in started and self.needs[stage] <= set(done)]

    def dependents(self, stage: str) -> set[str]:
        """Return all that has to wait for ``stage``."""
        found = {stage}
        for other in self.needs:  # in order, so one pass finds all
            if self.needs[other] & found:
                found.add(other)
        return found - {stage}

    def took(self, stage: str, seconds: float) -> None:
        """Learn from a stage that ran to its end."""
        self._taken += seconds
        self._expected += self.seconds[stage]

    def left(self, pending: Sequence[str], running: Mapping[str, float], slots: int) -> float | None:
        """Return the seconds until all has ended; None before the first stage has.

        ``pending``: not started; ``running``: seconds since the start. Shared out evenly, or the longest path if that
        is longer.
        """
        if not self._expected:
            return None
        speed = self._taken / self._expected
        rest = {stage: max(0.0, self.seconds[stage] * speed - seconds) for stage, seconds in running.items()}
        work = sum(rest.values()) + speed * sum(self.seconds[stage] for stage in pending)
        paths = [speed * self.path[stage] for stage in pending]
        paths += [rest[stage] + speed * (self.path[stage] - self.seconds[stage]) for stage in running]
        return max([work / slots, *paths])
