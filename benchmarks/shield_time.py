"""What a shield makes of the time of ten draws and of the size of a model, beside the same flow without one.

    python benchmarks/shield_time.py                   # networks of the demo; half a minute each
    python benchmarks/shield_time.py --profile smoke   # does it run at all

The networks of params.yaml with random weights, calibrated on crops of one photograph: time and size do not depend on
either. Ratios, shielded over unshielded: of the processor seconds of ten draws of 160 x 160, in pairs, median and range
of ``--pairs``; of the bytes of the weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from skimage import data

from pipeline.commands.arguments import positive
from pipeline.console import run_main, say
from pipeline.experiment import Experiment
from pipeline.inference.sampling import draw_images
from pipeline.kinds import KINDS
from pipeline.model_folder import LoadedFlow, build
from pipeline.params import load_params
from pipeline.pictures.eight_bit import to_tensor
from pipeline.shielding.calibration import shield_flow
from pipeline.training.model_configs import flow_config

DRAWS, SEED, SIDE, CROPS = 10, 10, 160, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo", help="%(default)s")
    parser.add_argument("--tasks", default="df2k_x4,df2k_x8,lol", help="%(default)s")
    parser.add_argument("--variants", default="affine,rq_spline,certified_spline", help="%(default)s")
    parser.add_argument("--pairs", type=positive, default=5, help="%(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params().model_copy(update={"profile": arguments.profile})
    for task in arguments.tasks.split(","):
        for variant in arguments.variants.split(","):
            flow = fresh_flow(Experiment.of(params, task, SEED, variant))
            crops = [(str(index), crop) for index, crop in enumerate(crops_for(flow))]
            shielded = shield_flow(flow, crops, SEED)
            seen = flow.kind.pair([to_tensor(side) for side in crops[0][1]], flow.network.scale)[1]
            seconds(shielded, seen)  # what is made once is made now
            ratios = [seconds(shielded, seen) / seconds(flow, seen) for _ in range(arguments.pairs)]
            told = f"{statistics.median(ratios):.2f} times the seconds ({min(ratios):.2f} .. {max(ratios):.2f})"
            grown = f"{size(shielded) / size(flow):.2f} times the bytes"
            say(f"{task} {variant}: shielded, ten draws of one picture take {told}; weights {grown}")


def fresh_flow(experiment: Experiment) -> LoadedFlow:
    """Return the flow of an experiment, untrained."""
    config = flow_config(experiment)
    torch.manual_seed(SEED)
    return LoadedFlow(build(config).eval(), config, KINDS[config.kind])


def crops_for(flow: LoadedFlow) -> list[tuple[np.ndarray, ...]]:
    """Return some crops of a photograph with what the network sees of them; in low light an eighth of the light."""
    picture = data.astronaut()
    found = []
    for number in range(CROPS):
        crop = np.ascontiguousarray(picture[:SIDE, number * 80 : number * 80 + SIDE])
        found.append((crop, crop // 8, crop // 8) if flow.network.scale == 1 else flow.kind.sides_of(crop, "crop"))
    return found


def seconds(flow: LoadedFlow, seen: torch.Tensor) -> float:
    """Return the processor seconds of ten draws."""
    start = time.process_time()
    for _ in draw_images(flow.network, seen, DRAWS, flow.config.temperature, SEED, "time"):
        pass
    return time.process_time() - start


def size(flow: LoadedFlow) -> int:
    """Return the bytes of the weights."""
    return sum(tensor.numel() * tensor.element_size() for tensor in flow.network.state_dict().values())


if __name__ == "__main__":
    run_main(main)
