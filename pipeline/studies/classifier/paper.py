"""Paper B's figures for its classifiers (CIFAR-10, 200 epochs, one seed)."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A row of Table 10 (Table 2 has those with 1x1 convolutions), texts where no number is given."""

    accuracy: float  # percent
    reconstruction: str
    condition: float
    least: float
    largest: float


# (coupling, permutation, regularizer) -> Table 10
TABLE_10: dict[tuple[str, str, str], Row] = {
    ("additive", "shuffle", "none"): Row(88.35, "1.1e-4", 2.1e3, 2.9e-2, 6.0e1),
    ("additive", "shuffle", "fd"): Row(88.49, "5.4e-5", 7.0e2, 5.3e-2, 3.7e1),
    ("additive", "shuffle", "nf"): Row(88.49, "2.2e-5", 1.1e3, 3.0e-2, 3.3e1),
    ("additive", "conv", "none"): Row(89.73, "4.3e-2", 7.2e4, 6.1e-2, 4.4e3),
    ("additive", "conv", "fd"): Row(89.71, "1.1e-3", 3.0e2, 8.7e-2, 2.6e1),
    ("additive", "conv", "nf"): Row(89.52, "9.9e-4", 1.7e3, 3.9e-2, 6.6e1),
    ("affine", "shuffle", "none"): Row(87.64, "NaN", 9.9e13, 1.7e-12, 1.6e2),
    ("affine", "shuffle", "fd"): Row(88.14, "3.1e-5", 1.2e2, 1.1e-1, 1.3e1),
    ("affine", "shuffle", "nf"): Row(88.31, "2.8e-5", 8.5e2, 3.7e-2, 3.2e1),
    ("affine", "conv", "none"): Row(89.07, "Inf", 8.6e14, 1.9e-12, 1.7e3),
    ("affine", "conv", "fd"): Row(89.47, "9.6e-4", 1.6e2, 9.6e-2, 1.5e1),
    ("affine", "conv", "nf"): Row(89.71, "1.3e-3", 2.2e3, 3.5e-2, 7.7e1),
}
# Table 9, affine couplings with 1x1 convolutions: (regularizer, weight) -> accuracy, reconstruction, condition number.
# Its weights are of the released finite differences (params.yaml, profile paper), not of those per sample.
TABLE_9: dict[tuple[str, float], tuple[float, str, float]] = {
    ("fd", 1e-3): (88.24, "6.0e-4", 4.2e1),
    ("fd", 1e-4): (89.47, "9.6e-4", 1.6e2),
    ("nf", 1e-3): (83.28, "7.0e-4", 1.0e4),
    ("nf", 1e-4): (88.64, "8.6e-4", 9.6e3),
    ("nf", 1e-5): (89.71, "1.3e-3", 2.2e3),
}
TABLE_11: dict[int, float] = {1: 3.04, 5: 1.45, 10: 1.26}  # steps from penalty to penalty -> cost of an epoch
