"""Paper B's example of section 2 (Fig. 1): a flow that is invertible on paper and not in floating point."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.console import progress
from pipeline.errors import ConfigError
from pipeline.files import write_bytes, write_csv
from pipeline.studies.contract import Study, at_least_one, chosen, option

if TYPE_CHECKING:
    from pipeline.reporting.study_page import Comparison, StudyPage
    from pipeline.studies.lab import Lab

_TABLE_DEPTHS = (1, 2, 4, 6, 8, 10, 16, 20, 50, 100)
_FIGURE_DEPTHS = 25  # at which singular values are taken
_PER_DECADE = 0.02  # of the condition number's logarithm, by which it may miss depth * log10(1 / scale)

Errors = Mapping[tuple[str, str], Sequence[float | None]]
Spectra = Mapping[str, Sequence[tuple[float, float]]]


@dataclasses.dataclass(frozen=True)
class DepthError(Study):
    """The example's options; the paper's are a scale of 0.1 and a shift of 0.123456789."""

    name: ClassVar[str] = "depth_error"
    title: ClassVar[str] = "paper B's Fig. 1: reconstruction error and singular values by depth, per precision"

    depth: int = option(100, "couplings of the deepest flow")
    scale: float = option(0.1, "g of the affine couplings")
    shift: float = option(0.123456789, "t of all couplings")
    precisions: str = option("float32,float64,bfloat16,float16", "which ones, separated by commas")

    def check(self) -> None:
        """Raise ConfigError for a wrong option."""
        from pipeline.studies.depth_error.measuring import PRECISIONS

        at_least_one(self, "depth")
        if not 0 < self.scale <= 1:
            raise ConfigError(f"--scale: {self.scale} is not in (0, 1]")
        if not math.isfinite(self.shift):
            raise ConfigError(f"--shift: {self.shift} is not a finite number")
        chosen(self, "precisions", PRECISIONS)

    def run(self, lab: Lab) -> StudyPage:
        """Compute every depth; write errors.csv, spectra.csv and depth_error.png."""
        import torch

        from pipeline.reporting.style import to_png
        from pipeline.studies.depth_error import figures, measuring

        torch.set_num_threads(1)
        kinds = measuring.transforms(self.scale)
        precisions = chosen(self, "precisions", measuring.PRECISIONS)
        pairs = [(kind, precision) for kind in kinds for precision in precisions]
        errors = {
            (kind, precision): measuring.errors(kinds[kind], self.depth, self.shift, precision)
            for kind, precision in progress(pairs, "depth_error")
        }
        depths = self._depths()
        spectra = {kind: measuring.spectra(transform, depths, self.shift) for kind, transform in kinds.items()}
        epsilon = {name: torch.finfo(dtype).eps for name, dtype in precisions.items()}
        write_csv(lab.out / "errors.csv", ("coupling", "precision", "depth", "error"), _error_rows(errors))
        columns = ("coupling", "depth", "largest", "smallest")
        write_csv(lab.out / "spectra.csv", columns, _spectrum_rows(spectra, depths))
        write_bytes(lab.out / "depth_error.png", to_png(figures.depth_errors(errors, depths, spectra, epsilon)))
        return page(self, errors, depths, spectra)

    def _depths(self) -> list[int]:
        step = max(1, self.depth // _FIGURE_DEPTHS)
        own = {*range(1, self.depth + 1, step), *_TABLE_DEPTHS, self.depth}
        return sorted(depth for depth in own if depth <= self.depth)


def _error_rows(errors: Errors) -> list[dict[str, Any]]:
    return [
        {"coupling": kind, "precision": precision, "depth": depth, "error": error}
        for (kind, precision), values in errors.items()
        for depth, error in enumerate(values, 1)
    ]


def _spectrum_rows(spectra: Spectra, depths: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"coupling": kind, "depth": depth, "largest": largest, "smallest": smallest}
        for kind, values in spectra.items()
        for depth, (largest, smallest) in zip(depths, values, strict=True)
    ]


def page(study: DepthError, errors: Errors, depths: Sequence[int], spectra: Spectra) -> StudyPage:
    """Return the page: ``errors[kind, precision]`` at depths 1, 2, ..., ``spectra[kind]`` at ``depths``."""
    from pipeline.reporting.study_page import PageFigure, PageTable, StudyPage

    shown = [depth for depth in _TABLE_DEPTHS if depth <= study.depth]
    of = {kind: dict(zip(depths, values, strict=True)) for kind, values in spectra.items()}
    rows = [
        (
            depth,
            *(_told(values[depth - 1]) for values in errors.values()),
            of["affine"][depth][1],
            _condition(of["affine"][depth]),
            of["additive"][depth][1],
            _condition(of["additive"][depth]),
        )
        for depth in shown
    ]
    columns = (
        "couplings",
        *(f"{kind}, {precision}" for kind, precision in errors),
        "affine σ min",
        "affine condition",
        "additive σ min",
        "additive condition",
    )
    worst = {key: _worst(values) for key, values in errors.items()}
    first = next(precision for _, precision in errors)
    lost = next((d for d, e in enumerate(errors["affine", first], 1) if e is None or e > 1), None)
    return StudyPage(
        name=study.name,
        title="How reconstruction errors grow with depth",
        question="Paper B, section 2: couplings that all transform the second coordinate of (1, 1) by the same scale "
        "and shift. How large is |x - F⁻¹(F(x))| after n of them, and what do singular values say beforehand?",
        scale=f"the paper's: up to {study.depth} couplings, g = {study.scale:g}, t = {study.shift:g}; exact, no seeds",
        found=[
            f"{first}: the affine flow's error passes the size of the input itself "
            + (f"at {lost} couplings" if lost else f"nowhere up to {study.depth}")
            + f"; the additive flow's largest over all depths is {_text(worst['additive', first])}.",
            "A precision with more digits moves the depth at which the affine inverse is lost; it does not take it "
            "away: the error is about rounding / σ min (dotted), and σ min = gⁿ.",
        ],
        tables=[
            PageTable("Error and singular values by depth", columns, rows, "What came back is rounded between layers.")
        ],
        figures=[
            PageFigure(
                "depth_error.png",
                "Reconstruction error at (1, 1) by depth and precision, singular values and condition number "
                "(paper B, Fig. 1). Dotted: one rounding error of the input's size over the smallest singular value. "
                f"A line ends where what came back is not finite or beyond {1e20:g}; errors of exactly 0 are left out.",
                "Four panels: affine errors rise by a factor of ten per coupling, additive ones stay level",
            )
        ],
        comparisons=_comparisons(study, errors, depths, spectra),
    )


def _comparisons(study: DepthError, errors: Errors, depths: Sequence[int], spectra: Spectra) -> list[Comparison]:
    from pipeline.reporting.study_page import Comparison

    first = next(precision for _, precision in errors)
    affine, additive = errors["affine", first], errors["additive", first]
    some = [depth for depth in (1, 4, 6, 8, 10) if depth <= study.depth]
    last = affine[some[-1] - 1]
    lost = last is None or last > 1  # more than the input's own size
    exact = all(
        abs(math.log10(least) - depth * math.log10(study.scale)) <= _PER_DECADE and abs(largest - 1) < 1e-9
        for depth, (largest, least) in zip(depths, spectra["affine"], strict=True)
        if least > 0
    )
    level = all(abs(largest - 1) < 1e-9 and abs(least - 1) < 1e-9 for largest, least in spectra["additive"])
    return [
        Comparison(
            "B, section 2 and Fig. 1, panel 1",
            f"affine, {first}: the inverse explodes with depth",
            "the error grows exponentially (figure; no numbers are printed)",
            ", ".join(f"{_text(affine[depth - 1])} at {depth}" for depth in some),
            "cannot be told" if study.depth < 10 else "yes" if lost else "no",
        ),
        Comparison(
            "B, section 2 and Fig. 1, panel 1",
            f"additive, {first}: small errors, by rounding in the sum",
            "small at every depth (figure)",
            f"at most {_text(_worst(additive))} up to {study.depth}",
            "yes" if (_worst(additive) or math.inf) < 1e-4 else "no",
        ),
        Comparison(
            "B, Fig. 1, panels 2 to 4",
            "affine: singular values",
            "the smallest tends to zero, the largest is constant, their quotient explodes (figure)",
            f"σ min = {study.scale:g}ⁿ, σ max = 1, condition {1 / study.scale:g}ⁿ"
            if exact
            else "σ min and σ max are not those of the formula",
            "yes" if exact else "no",
        ),
        Comparison(
            "B, Fig. 1, panels 2 to 4",
            "additive: singular values",
            "constant (figure)",
            "both 1 at every depth" if level else "not both 1",
            "yes" if level else "no",
        ),
    ]


def _condition(extremes: tuple[float, float]) -> float | None:
    largest, least = extremes
    return largest / least if least else None


def _worst(values: Sequence[float | None]) -> float | None:
    return None if None in values else max(value for value in values if value is not None)


def _told(value: float | None) -> float | str:
    return "not finite" if value is None else value


def _text(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2g}"
