"""Elementwise transforms c(x; h); to add one: one file, one line here."""

from models.flow.transforms.additive import Additive
from models.flow.transforms.affine import Affine
from models.flow.transforms.certified_spline import CertifiedSpline
from models.flow.transforms.ranged_affine import RangedAffine
from models.flow.transforms.rational_quadratic_spline import RationalQuadraticSpline
from models.flow.transforms.shield import Shield
from models.flow.transforms.transform import Transform

TRANSFORMS: dict[str, type[Transform]] = {
    "additive": Additive,
    "affine": Affine,
    "certified_spline": CertifiedSpline,
    "ranged_affine": RangedAffine,
    "rational_quadratic_spline": RationalQuadraticSpline,
}

__all__ = [
    "TRANSFORMS",
    "Additive",
    "Affine",
    "CertifiedSpline",
    "RangedAffine",
    "RationalQuadraticSpline",
    "Shield",
    "Transform",
]
