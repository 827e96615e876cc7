"""What to try against what makes a flow explode: cause -> a line for whoever trains it."""

from __future__ import annotations

_COUPLINGS = (
    "couplings: certified_spline bounds what each may do; rational_quadratic_spline keeps far values, yet its shift is "
    "free; a scale bounded below (affine with eps: 0.1) delays the explosion and does not end it; or train with "
    "training.regularizer finite_differences; without training anew: a lower temperature"
)
# Causes that are roles of layers (models/flow/place.py) come first.
ADVICE: dict[str, str] = {
    "coupling": _COUPLINGS,
    "noise coupling": _COUPLINGS,
    "injector": (
        "injectors: the encoder's features alone set their scale; take one of the spline transforms, and screen inputs "
        "by the analysis out_of_distribution"
    ),
    "split": "Split's prior: caps prior_mean and prior_log_scale bound what it predicts",
    "1x1": "1x1 convolutions: network.permutation: fixed_orthogonal, or cap singular_value",
    "actnorm": "activation norms: cap actnorm_log_scale",
    "bounded coupling": "couplings: they are bounded; smaller lipschitz and shift tighten what all can add up to",
    "photographs": "photographs themselves have bad values: draw at a lower temperature, or train longer",
    "unlike inputs": "screen inputs by the analysis out_of_distribution, or expect bad values on such ones",
    "round trip": "float32 does not hold the inverse: raise eps, lower lipschitz, or judge the network in float64",
    "no bound": "nothing bounds the output for every input: certified_spline with caps does (analysis certified_bound)",
    "nothing looked at": "run the analyses bad_pixels and pushed_features as well",
}
