"""The round trip of pictures with nets in bfloat16, which benchmarks/ablation.py and shield.py tell."""

import torch

from pipeline.pictures.eight_bit import to_tensor


@torch.no_grad()
def round_trip_in_bfloat16(flow, crops) -> float:
    """Return the largest error of a picture that went to the latent and back, nets in bfloat16."""
    network, errors = flow.network, []
    for _, sides in crops:
        target, seen = flow.kind.pair([to_tensor(side) for side in sides], network.scale)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            condition = network.share(seen)
            back = network.inverse(network(target, condition)[0], condition)[0]
        errors.append((back - target).abs().max())
    return float(torch.stack(errors).max())  # NaN if one is, which Python's max would drop
