"""A flow of a few thousand parameters, as a model folder would hold it, and its audit."""

import torch
from report_tree import plain_photograph

from pipeline.config import StabilityConfig
from pipeline.kinds import KINDS
from pipeline.model_folder import LoadedFlow, ModelConfig, build
from pipeline.stability.audit import audit

ENCODER = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
NETWORK = {"encoder": ENCODER, "levels": 2, "steps": 1, "hidden": 4, "noise_steps": [0, 1], "permutation": "learned"}
AFFINE = {"name": "affine", "options": {"eps": 1e-4}}


def small_flow(variant="affine", transform=AFFINE, caps=None, network=None):
    """Return a super-resolution flow, 4x, with random weights. ``network``: options beside NETWORK."""
    options = NETWORK | (network or {})
    config = ModelConfig(
        "super_resolution", "df2k_x4", variant, "demo", 4, options, transform, caps or {}, run_key=f"key {variant}"
    )
    torch.manual_seed(0)
    network = build(config)
    with torch.no_grad():
        for name, parameter in network.flow.named_parameters():
            if ".net." in name:
                parameter.copy_(0.02 * torch.randn_like(parameter))
    return LoadedFlow(network.eval(), config, KINDS[config.kind])


def small_audit(folder, flow, analyses):
    """Audit ``flow`` on one photograph and small stress inputs into ``folder``; return the summary."""
    crops = [("cat", flow.kind.sides_of(plain_photograph(), "cat"))]
    limits = StabilityConfig(pictures=1, draws=1, temperature=0.9, stress_size=8, analyses=analyses)
    return audit(flow, crops, folder, limits, 10)
