"""How long the extreme singular values of a whole network take: `python benchmarks/spectrum.py`, or with `--full`.

The network is the one of params.yaml for the task and variant, in the profile demo, or with `--full` in the profile
paper (41.7 million values for df2k_x4 affine). It is not trained: activation norms are started from the picture, as
training does, and the convolutions that start at zero are moved away from it, so that couplings, injectors and priors
take part. The picture is a held-out photograph that comes with the dependencies, its centre of `--size` pixels.
Everything is in float64; the values are those of the map from picture to latent and of its inverse there.
"""

from __future__ import annotations

import argparse
import time

import torch

from models.flow.layers.actnorm import initializing
from models.flow.layers.conditional_net import ZeroConv2d
from pipeline.datasets.catalogue import DATASETS
from pipeline.experiment import Experiment
from pipeline.kinds import KINDS
from pipeline.model_folder import build
from pipeline.params import load_params
from pipeline.pictures.decode import decode
from pipeline.pictures.eight_bit import to_tensor
from pipeline.seeds import generator, seed_of
from pipeline.stability.measure.jacobian import float64_copy
from pipeline.stability.measure.spectrum import largest_singular_value
from pipeline.training.model_configs import flow_config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the profile paper instead of demo")
    parser.add_argument("--task", default="df2k_x4")
    parser.add_argument("--variant", default="affine")
    parser.add_argument("--size", type=int, help="side of the picture, pixels (default: 160 with --full, else 64)")
    parser.add_argument("--spread", type=float, default=0.01, help="of the weights that start at zero (default: 0.01)")
    parser.add_argument("--products", type=int, default=300, help="with J^T J, at most (default: 300)")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="half the error bar, relative (default: 0.001)")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    params = load_params().model_copy(update={"profile": "paper" if arguments.full else "demo"})
    experiment = Experiment.of(params, arguments.task, params.seeds[0], arguments.variant)
    kind = KINDS[experiment.problem.kind]
    size = arguments.size or (160 if arguments.full else 64)
    target, seen = kind.pair(photograph(kind, size), experiment.problem.scale)
    network = prepared(experiment, kind, target, seen, arguments.spread)
    print(f"{experiment.name}, profile {params.profile}: {sum(p.numel() for p in network.parameters()) / 1e6:.1f} M")
    print(f"parameters, {size} x {size} pixels, {target.numel()} values, {arguments.threads} thread(s)")

    with torch.no_grad():
        condition = network.share(seen.double())
        x = target.double()
        z, _ = network(x, condition)
        error = float((network.inverse(z, condition)[0] - x).abs().max())
    print(f"round trip in float64: {error:.1e}")
    how = {"products": arguments.products, "tolerance": arguments.tolerance, "seed": experiment.seed}
    found = {}
    for name, point, inverse in (("forward", x, False), ("inverse", z, True)):
        wall, processor = time.perf_counter(), time.process_time()
        found[name] = largest_singular_value(network, point, condition, inverse, what=name, **how)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        one = found[name]
        shown = one.reason if one.value is None else f"{one.value:.6g} in [{one.low:.6g}, {one.high:.6g}]"
        print(
            f"largest singular value, {name}: {shown}; {one.products} products, {wall / 60:.1f} min "
            f"({processor / 60:.1f} of processor time)"
        )
    if all(one.value for one in found.values()):
        print(f"condition number: {found['forward'].value * found['inverse'].value:.4g}")


def photograph(kind, size):
    """Return the sides of the centre of the first held-out photograph, `(1, 3, size, size)` uint8 each."""
    source = next(source for source in DATASETS["df2k"].demo().pictures if source.split == "validation")
    pixels = decode(source.content).pixels
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return [to_tensor(side) for side in kind.sides_of(pixels[top : top + size, left : left + size], source.id)]


def prepared(experiment, kind, target, seen, spread):
    """Return the network in float64, as it is after a first step of training, zero layers moved."""
    torch.manual_seed(seed_of("benchmark", experiment.seed))
    network = build(flow_config(experiment))
    random = generator("benchmark zero layers", experiment.seed)
    with torch.no_grad():
        for module in network.flow.modules():
            if isinstance(module, ZeroConv2d):
                module.conv.weight.copy_(spread * torch.randn(module.conv.weight.shape, generator=random))
    with initializing(network):
        kind.objective(network)(target, seen)
    return float64_copy(network)


if __name__ == "__main__":
    main()
