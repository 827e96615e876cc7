"""A trial of one model: the training's own steps on made-up pictures, one draw, and what goes wrong in them."""

from __future__ import annotations

import dataclasses
import math
import re
import resource
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.experiment import Experiment
from pipeline.feed.sides import Pairs
from pipeline.inference.sampling import draw_images
from pipeline.kinds import KINDS, Kind
from pipeline.pictures.eight_bit import to_tensor
from pipeline.training.batches import batches_of
from pipeline.training.jobs import seeded_device
from pipeline.training.loop import Trainer
from pipeline.training.train import flow_objective, flow_plan

# A net's last convolution starts at zero and hides the net and the encoder behind it: their first gradient is 0.
STEPS = 2
_PICTURES = 4
_NAMED = 3  # tensors in one message


@dataclasses.dataclass(frozen=True)
class Trial:
    """What one model needs, and what is wrong with it."""

    parameters: int  # that training changes
    step_seconds: float  # of the second step
    draw_seconds: float
    peak_bytes: int
    faults: tuple[str, ...]


def try_model(experiment: Experiment, batch: int) -> Trial:
    """Build the flow of ``experiment``, take two optimizer steps and one draw at the profile's crop."""
    settings, scale, seed = experiment.settings, experiment.problem.scale, experiment.seed
    kind = KINDS[experiment.problem.kind]
    device = seeded_device(experiment, "flow")
    objective = flow_objective(experiment)
    network = objective.network
    trainer = Trainer(objective, flow_plan(experiment), device)
    trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    reached, broken = _watch_gradients(trained)

    sides = _made_up_sides(kind, settings.data.crop, seed)
    pairs = Pairs(_Held(sides[0]), [_Held(side) for side in sides[1:]])
    # LLFlow's coin may fall on the true picture's colours in every step: the learned ones would get no gradient
    learned = experiment.vary({"settings.training.ratio_probability": 0.0})
    batches = list(batches_of(pairs, learned, device, batch)(0, STEPS))
    trainer.start(batches[0])
    before = _fingerprints(trained)
    losses, seconds = [], 0.0
    for made in batches:
        started = time.perf_counter()
        losses.append(trainer.update(trainer.objective, made)[0])
        trainer.step += 1
        _wait_for(device)
        seconds = time.perf_counter() - started

    drawn_from: Any = trainer.averaged_network().eval()
    _, seen = kind.pair([to_tensor(side[0]).to(device) for side in sides], scale)
    started = time.perf_counter()
    draw = next(draw_images(drawn_from, seen, 1, settings.sampling.temperature, seed, "check"))
    _wait_for(device)
    draw_seconds = time.perf_counter() - started

    after = _fingerprints(trained)
    faults = [
        *(f"the loss of step {step} is {loss}" for step, loss in enumerate(losses, 1) if not math.isfinite(loss)),
        *_fault("got no gradient", [name for name in trained if name not in reached]),
        *_fault("got a gradient that is not finite", [name for name in trained if name in broken]),
        *_fault(f"did not change in {STEPS} steps", [name for name in trained if before[name] == after[name]]),
        *_draw_faults(draw, settings.data.crop),
    ]
    count = sum(parameter.numel() for parameter in trained.values())
    return Trial(count, seconds, draw_seconds, _peak_bytes(device), tuple(faults))


class _Held:
    """Pictures ``(H, W, 3)`` uint8 in memory, as a side of pairs."""

    def __init__(self, pictures: list[NDArray[np.uint8]]) -> None:
        self._pictures = pictures
        self.ids = [str(number) for number in range(len(pictures))]

    def __len__(self) -> int:
        return len(self._pictures)

    def shape(self, index: int) -> tuple[int, int]:
        """Return (height, width)."""
        height, width, _ = self._pictures[index].shape
        return height, width

    def crop(self, index: int, top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
        """Return ``(height, width, 3)``."""
        return self._pictures[index][top : top + height, left : left + width]


def _made_up_sides(kind: Kind, size: int, seed: int) -> list[list[NDArray[np.uint8]]]:
    """Return the target and each input of a few pictures ``(size, size, 3)``: a colour gradient under noise."""
    draw = np.random.default_rng(seed)
    across = np.linspace(0.0, 1.0, size)[:, None]
    each = []
    for number in range(_PICTURES):
        start, down, right = draw.uniform(0, 255, (3, 3))
        gradient = start + (down - start) * across[:, None] / 2 + (right - start) * across / 2
        noisy = gradient + draw.normal(0, 20, (size, size, 3))
        each.append(kind.sides_of(np.rint(noisy.clip(0, 255)).astype(np.uint8), str(number)))
    return [list(side) for side in zip(*each, strict=True)]


def _watch_gradients(parameters: Mapping[str, nn.Parameter]) -> tuple[set[str], set[str]]:
    """Return the names of those that get a gradient, and one that is not finite; the sets fill during training."""
    reached: set[str] = set()
    broken: set[str] = set()

    def watch(name: str) -> Callable[[Tensor], None]:
        def look(parameter: Tensor) -> None:  # before clipping, which spreads a NaN to all of them
            reached.add(name)
            if not bool(parameter.grad.isfinite().all()):  # type: ignore[union-attr]
                broken.add(name)

        return look

    for name, parameter in parameters.items():
        parameter.register_post_accumulate_grad_hook(watch(name))
    return reached, broken


def _fingerprints(parameters: Mapping[str, nn.Parameter]) -> dict[str, int]:
    """Return a checksum of each; copies would count as memory that training needs."""
    return {name: zlib.crc32(parameter.detach().cpu().numpy().tobytes()) for name, parameter in parameters.items()}


def _fault(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} tensors {what}: {', '.join(names[:_NAMED])}{more}"] if names else []


def _draw_faults(draw: Tensor, crop: int) -> list[str]:
    wanted = (3, crop, crop)
    wrong = [f"the draw is {tuple(draw.shape)} instead of {wanted}"] if tuple(draw.shape) != wanted else []
    share = 1.0 - float(draw.isfinite().float().mean())
    return wrong + ([f"{share:.2%} of the draw's values are not finite"] if share else [])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_bytes(device: torch.device) -> int:
    """Return the most memory that this process held: of the GPU if it computed there, else of all."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss begins with the size of the process that started this one
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
