"""Backpropagation through chains of bijections that stores less.

| mode | what a chain stores for its backward pass | computed |
|---|---|---|
| plain | all that autograd wants: the activations inside of every net | once |
| checkpoint | the input of every layer | forward twice |
| reversible | its first input and its output; the others are recomputed by the inverse | forward twice, inverse once |

In the latter two a layer's share of the features is computed inside of it as well, and forgotten, so that of a
condition only the features themselves are held. Gradients of x, the features, the parameters and through log_det
are those of ``plain``; with ``checkpoint`` exactly, with ``reversible`` as far as the inverse is accurate. That is
measured in every backward pass: where it is not, the layer's true input is computed from the nearest stored one
instead, is stored from then on, and a warning says so once. No gradient is taken at a wrong input.

For training. ``reversible`` cannot be differentiated twice. Nets must not change their buffers in a forward pass, as
BatchNorm does: they are applied twice.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from models.flow.bijection import Bijection, Chain, Unshared, log_det_dtype
from models.flow.recomputation import (
    Slot,
    exchange,
    leaves,
    print_of,
    random_state,
    relative_error,
    replaying,
    same_autocast,
)

# Largest error of a recomputed input, relative to its norm, by the precision in which the layer computes. Rounding
# alone is some 1e-7 per layer in float32. Under autocast a net's own rounding is 1e-3 and more.
TOLERANCES = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 2e-3, torch.float16: 2e-3}


class _Step(NamedTuple):
    """A layer of a chain, applied in one direction. ``parameters``: their names, as numbers of the inputs of a run."""

    place: int
    layer: Bijection
    condition: Any
    inverse: bool
    parameters: Mapping[str, int] = MappingProxyType({})

    def apply(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._call(x, self.inverse)

    def undo(self, z: Tensor) -> Tensor:
        return self._call(z, not self.inverse)[0]

    def _call(self, x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        own = self.condition
        if isinstance(own, Unshared):
            own = self.layer.share(own.features)
        result: tuple[Tensor, Tensor] = self.layer.inverse(x, own) if inverse else self.layer(x, own)
        return result

    def filled(self, tensors: Sequence[Tensor]) -> _Step:
        return self._replace(condition=exchange(self.condition, lambda slot: tensors[slot.number]))


class Checkpoint:
    """Stores the input of every layer of a chain."""

    def postpone(self, layers: Sequence[Bijection], features: Any) -> list[Any]:
        """Return one condition per layer; a layer that holds no chain is to compute its own when it is its turn."""
        return [layer.share(features) if _holds_chain(layer) else Unshared(features) for layer in layers]

    def walk(
        self, layers: Sequence[Bijection], x: Tensor, conditions: Sequence[Any], inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """Return what the chain's ``forward`` or ``inverse`` returns; a layer that holds a chain leaves it to that."""
        steps = [
            _Step(place, layer, own, inverse) for place, (layer, own) in enumerate(zip(layers, conditions, strict=True))
        ]
        log_det = x.new_zeros(x.shape[0], dtype=log_det_dtype(x))
        for holds, group in itertools.groupby(steps[::-1] if inverse else steps, lambda step: _holds_chain(step.layer)):
            if holds:
                for step in group:
                    x, change = step.apply(x)
                    log_det = log_det + change
            else:
                x, change = self._run(list(group), x)
                log_det = log_det + change
        return x, log_det

    def _run(self, steps: list[_Step], x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(x.shape[0], dtype=log_det_dtype(x))
        for step in steps:
            x, change = checkpoint(step.apply, x, use_reentrant=False)
            log_det = log_det + change
        return x, log_det


class Reversible(Checkpoint):
    """Stores the first input and the output of a run of layers, and inputs that the inverse does not give back.

    ``tolerances``: see ``TOLERANCES``.
    """

    def __init__(self, tolerances: dict[torch.dtype, float] | None = None) -> None:
        self.tolerances = tolerances or TOLERANCES
        self.stored: set[tuple[int, bool]] = set()  # (place, inverse) of the layers that fell back

    def _run(self, steps: list[_Step], x: Tensor) -> tuple[Tensor, Tensor]:
        seen = [leaf for step in steps for leaf in leaves(step.condition) if isinstance(leaf, Tensor)]
        tensors = list({id(tensor): tensor for tensor in seen}.values())
        parameters = dict.fromkeys(parameter for step in steps for parameter in step.layer.parameters())
        inputs = [*tensors, *parameters]
        numbers = {id(tensor): number for number, tensor in enumerate(inputs)}
        emptied = [
            step._replace(
                condition=exchange(step.condition, lambda tensor: Slot(numbers[id(tensor)])),
                parameters={name: numbers[id(p)] for name, p in step.layer.named_parameters(prefix="layer")},
            )
            for step in steps
        ]
        z, log_det = _Reversible.apply(self, emptied, x, *inputs)
        return z, log_det

    def keeps(self, step: _Step) -> bool:
        """Return whether the input of this layer is to be stored."""
        return (step.place, step.inverse) in self.stored

    def gives_back(self, step: _Step, error: float, dtype: torch.dtype) -> bool:
        """Return whether this error of a layer's input is allowed; if not, say so and store the input from now on."""
        allowed = self.tolerances[dtype]
        if error <= allowed:
            return True
        self.stored.add((step.place, step.inverse))
        where = step.layer.place or f"layer {step.place} ({type(step.layer).__name__})"
        warnings.warn(
            f"memory: reversible: {where} does not give its input back (relative error {error:.1e}, allowed "
            f"{allowed:.0e}); it is stored from now on, as with memory: checkpoint",
            stacklevel=2,
        )
        return False


class Trusting(Reversible):
    """Takes what the inverse gives back, however wrong, as reversible networks elsewhere do. To measure, not to train.

    A layer that has no inverse is still computed forward.
    """

    def gives_back(self, step: _Step, error: float, dtype: torch.dtype) -> bool:
        """Return True."""
        return True


MODES: dict[str, Callable[[], Checkpoint | None]] = {
    "plain": lambda: None,
    "checkpoint": Checkpoint,
    "reversible": Reversible,
}


def save_memory(network: nn.Module, mode: str) -> None:
    """Let every chain of ``network`` backpropagate in this mode, a name of ``MODES``.

    Raises ValueError for an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"memory: unknown mode '{mode}'; known are {', '.join(MODES)}")
    for chain in _chains(network).values():
        chain.saver = MODES[mode]()


@contextmanager
def backpropagating(network: nn.Module, make: Callable[[], Checkpoint | None]) -> Iterator[None]:
    """Let every chain of ``network`` have a saver of its own from ``make`` in this block, and after it the one before.

    Backward passes belong into the block as well.
    """
    chains = list(_chains(network).values())
    before = [chain.saver for chain in chains]
    try:
        for chain in chains:
            chain.saver = make()
        yield
    finally:
        for chain, saver in zip(chains, before, strict=True):
            chain.saver = saver


def _chains(network: nn.Module) -> dict[str, Chain]:
    return {name: module for name, module in network.named_modules() if isinstance(module, Chain)}


def stored_layers(network: nn.Module) -> dict[str, list[tuple[int, bool]]]:
    """Return per ``reversible`` chain, by name, the layers whose inputs are stored: (place, whether in the inverse).

    A training that goes on from a checkpoint needs it: whether an input is stored or recomputed changes rounding.
    """
    return {name: sorted(saver.stored) for name, saver in _reversible(network).items()}


def load_stored_layers(network: nn.Module, stored: Mapping[str, Sequence[tuple[int, bool]]]) -> None:
    """Let the ``reversible`` chains of ``network`` store what ``stored_layers`` told."""
    for name, saver in _reversible(network).items():
        saver.stored = {(place, inverse) for place, inverse in stored.get(name, ())}


def _reversible(network: nn.Module) -> dict[str, Reversible]:
    found = {name: chain.saver for name, chain in _chains(network).items()}
    return {name: saver for name, saver in found.items() if isinstance(saver, Reversible)}


class _Reversible(torch.autograd.Function):
    """A run of layers whose inputs are recomputed.

    Parameters are inputs of the function and their gradients outputs of its backward pass, so that hooks on them,
    DistributedDataParallel's among them, see every gradient once and whole.
    """

    @staticmethod
    def forward(ctx: Any, saver: Reversible, steps: list[_Step], x: Tensor, *inputs: Tensor) -> Any:
        ctx.saver, ctx.steps = saver, steps
        ctx.autocast = same_autocast(x)
        ctx.dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        ctx.prints, ctx.randomness = [], []
        stored = {0: x}
        log_det = x.new_zeros(x.shape[0], dtype=log_det_dtype(x))
        state = random_state(x.device)
        with ctx.autocast():
            for position, step in enumerate(steps):
                if saver.keeps(step):
                    stored[position] = x
                ctx.prints.append(print_of(x))
                before = x
                x, change = step.filled(inputs).apply(x)
                x = x.clone() if x is before else x  # autograd wants outputs of its own
                log_det = log_det + change
                earlier, state = state, random_state(x.device)
                ctx.randomness.append(None if all(map(torch.equal, earlier, state)) else earlier)
        ctx.positions = list(stored)
        ctx.save_for_backward(x, *stored.values(), *inputs)
        return x, log_det

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, log_det_gradient: Tensor) -> Any:
        z, *rest = ctx.saved_tensors
        stored = dict(zip(ctx.positions, rest, strict=False))
        inputs = rest[len(stored) :]
        wanted = ctx.needs_input_grad[3:]
        found: dict[int, Tensor] = {}
        with ctx.autocast():
            for position in reversed(range(len(ctx.steps))):
                step = ctx.steps[position]
                x = _input_of(ctx, position, z, stored, inputs)
                slots = {leaf.number for leaf in leaves(step.condition) if isinstance(leaf, Slot)}
                # of parameters it sees copies: hooks on the parameters themselves must not see parts of gradients
                copies = {n: inputs[n].detach().requires_grad_(wanted[n]) for n in {*slots, *step.parameters.values()}}
                start = x.detach().requires_grad_()
                with torch.enable_grad(), replaying(ctx.randomness[position], x.device):
                    outputs = torch.func.functional_call(
                        _Call(step.layer),
                        {name: copies[number] for name, number in step.parameters.items()},
                        (step.filled(copies), start),
                    )
                targets = {number: copy for number, copy in copies.items() if copy.requires_grad}
                gradient, *parts = _gradients(outputs, [start, *targets.values()], (gradient, log_det_gradient))
                for number, part in zip(targets, parts, strict=True):
                    if part is not None:
                        found[number] = found[number] + part if number in found else part
                z = x
        needed = gradient if ctx.needs_input_grad[2] else None
        return None, None, needed, *(found.get(number) for number in range(len(inputs)))


class _Call(nn.Module):
    """A layer as ``functional_call`` wants it, which exchanges parameters whatever is called of the layer."""

    def __init__(self, layer: Bijection) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, step: _Step, x: Tensor) -> tuple[Tensor, Tensor]:
        return step.apply(x)


@torch.no_grad()
def _input_of(ctx: Any, position: int, z: Tensor, stored: dict[int, Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Return the input of the layer at ``position``, given its output and what is stored."""
    if position in stored:
        return stored[position]
    step, error = ctx.steps[position].filled(inputs), math.inf
    x: Tensor | None = None
    try:
        with replaying(ctx.randomness[position], z.device):
            x = step.undo(z)
        error = relative_error(x, ctx.prints[position])
    except NotImplementedError:
        pass
    if ctx.saver.gives_back(step, error, ctx.dtype) and x is not None:
        return x
    start = max(earlier for earlier in stored if earlier < position)
    x = stored[start]
    for earlier in range(start, position):
        with replaying(ctx.randomness[earlier], z.device):
            x, _ = ctx.steps[earlier].filled(inputs).apply(x)
    return x


def _gradients(outputs: tuple[Tensor, Tensor], targets: list[Tensor], gradients: tuple[Tensor, Tensor]) -> list[Tensor]:
    live = [pair for pair in zip(outputs, gradients, strict=True) if pair[0].requires_grad]
    if not live:
        return [torch.zeros_like(target) for target in targets]
    tails, heads = zip(*live, strict=True)
    first, *others = torch.autograd.grad(tails, targets, heads, allow_unused=True)
    return [torch.zeros_like(targets[0]) if first is None else first, *others]


def _holds_chain(layer: Bijection) -> bool:
    return any(isinstance(module, Chain) for module in layer.modules())
