"""What benchmarks/performance.py and growth.py time: flows on random pictures, their plain forms, taking turns."""

from __future__ import annotations

import dataclasses
import functools
import logging
import random
import statistics
import time
from contextlib import ExitStack, contextmanager, nullcontext
from unittest import mock

import torch

from models.flow import features, written_out
from models.flow.layers import conditional_net
from models.flow.transforms.two_bin_spline import TwoBinSpline
from pipeline.console import say
from pipeline.experiment import Experiment
from pipeline.inference.sampling import draws_at_once
from pipeline.kinds import KINDS
from pipeline.params import load_params
from pipeline.training.loop import Trainer
from pipeline.training.train import flow_objective, flow_plan

VARIANTS = {"affine": "affine", "spline": "rq_spline", "certified": "certified_spline"}


def experiment_of(profile, task, arm, changes=None):
    """Return the experiment of params.yaml whose variant is an arm's, with ``changes`` as ``vary`` takes them."""
    params = load_params().model_copy(update={"profile": profile})
    return Experiment.of(params, task, params.seeds[0], VARIANTS[arm]).vary(changes or {})


class Arm:
    """A flow under training on a batch of random pictures: one optimizer step, an encoding, draws."""

    def __init__(self, experiment, size, batch=1):
        torch.manual_seed(0)
        self.trainer = Trainer(flow_objective(experiment), flow_plan(experiment), torch.device("cpu"))
        scale = experiment.problem.scale
        hr = torch.rand(batch, 3, size, size)
        sides = [hr] if scale > 1 else [hr, hr * 0.2]
        self.hr, self.lr = KINDS[experiment.problem.kind].pair(sides, scale)
        self.trainer.start((self.hr, self.lr))
        with torch.no_grad():  # away from zero convolutions, which hide what is before them
            for parameter in self.trainer.parameters:
                parameter.add_(1e-3 * torch.randn_like(parameter))

    @property
    def network(self):
        """Return the flow."""
        return self.trainer.objective.network

    def step(self):
        """Take one optimizer step, as the training loop does."""
        return self.trainer.update(self.trainer.objective, (self.hr, self.lr))[0]

    @torch.no_grad()
    def encode(self):
        """Compute the latent and the log-determinant of the pictures."""
        return self.network(self.hr, self.network.share(self.lr))

    @torch.no_grad()
    def draw(self, count, at_once=None):
        """Make ``count`` draws of the first picture as ``draw_images`` does: what is shared once, then by the few."""
        condition = self.network.share(self.lr[:1])
        z = 0.5 * torch.randn(count, *self.network.latent_shape(*self.lr.shape[2:]))
        for some in z.split(at_once or draws_at_once(self.hr[0, 0].numel(), z.device)):
            self.network.inverse(some, condition)


@contextmanager
def plain_form():
    """In this block features are enlarged before they are convolved, and autograd derives all gradients."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(written_out, "fits", lambda *_: False))
        enlarged = mock.patch.object(conditional_net, "convolved", lambda maps, conv: conv(features.whole(maps)))
        stack.enter_context(enlarged)
        yield


@contextmanager
def compiled_splines():
    """In this block splines are computed by what ``torch.compile`` makes of their plain form."""
    with mock.patch.object(TwoBinSpline, "_evaluate", lambda self, x, h, inverse: _compiled(self)(x, h, inverse)):
        yield


@functools.cache
def _compiled(spline):
    torch._dynamo.config.recompile_limit = 64  # shapes of one spline's inputs, with and without gradients
    torch._dynamo.config.specialize_float = True  # a spline's numbers are constants
    return torch.compile(spline.plainly, dynamic=True)


@functools.cache
def can_compile():
    """Return whether there is a compiler that ``torch.compile`` can use here."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it says that there is no GPU
    try:
        torch.compile(torch.sin)(torch.ones(2))
    except Exception as error:  # of many kinds, by what is missing
        say(f"arms that are compiled are left out: {str(error).strip().splitlines()[0]}")
        return False
    return True


@contextmanager
def frozen(arm):
    """In this block the encoder gets no gradient."""
    encoder = arm.network.encoder
    before = {parameter: parameter.requires_grad for parameter in encoder.parameters()}
    encoder.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, wanted in before.items():
            parameter.requires_grad_(wanted)


@contextmanager
def bfloat16(arm):
    """In this block the nets compute in bfloat16, as with ``training.precision: bfloat16``."""
    plan = dataclasses.replace(arm.trainer.plan, precision="bfloat16")
    with mock.patch.object(arm.trainer, "plan", plan):
        yield


def interleaved(works, rounds, clock=time.perf_counter):
    """Return seconds per round of every (context maker, function) of ``works``, in an order that changes."""
    taken = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name in random.sample(list(works), len(works)):
            context, work = works[name]
            with context():
                start = clock()
                work()
                if turn:  # the first lets the allocator and caches settle
                    taken[name].append(clock() - start)
    return taken


def spread(seconds):
    """Return the median, and (largest - least) / median."""
    middle = statistics.median(seconds)
    return middle, (max(seconds) - min(seconds)) / middle


always = nullcontext
