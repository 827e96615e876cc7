"""Artifacts as the stages leave them, small and written by hand."""

import html.parser
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from pipeline.config import Params
from pipeline.files import write_csv, write_json
from pipeline.kinds import KINDS
from pipeline.metrics import metrics_of
from pipeline.reporting.report import build_report

PARAMS = Path(__file__).parents[2] / "params.yaml"
VARIANTS = ("affine", "bounded", "rq_spline")
TASKS = {
    "df2k_x4": {"kind": "super_resolution", "dataset": "df2k", "scale": 4},
    "lol": {"kind": "low_light", "dataset": "lol"},
}
HOSTILE = "<script>alert(1)</script>'\"&"


def make_params(profile="demo", variants=VARIANTS, tasks=("df2k_x4",), seeds=(10,)):
    return Params.model_validate(
        {
            "profile": profile,
            "seeds": list(seeds),
            "tasks": {task: TASKS[task] for task in tasks},
            "variants": {name: {"transform": "affine", "options": {"eps": 1e-4}} for name in variants},
            "datasets": {"df2k": {}, "lol": {}},
            "profiles": yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["profiles"],
        }
    )


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_variant(root, variant, strength=0, photographs=None, profile="demo", draws=4, task="df2k_x4", seed=10):
    """Write what all stages leave for one variant; ``strength`` makes it worse, ``photographs`` are id -> pixels."""
    random = np.random.default_rng(strength)
    folder = root / "artifacts" / task / f"seed{seed}" / variant
    kind = TASKS[task]["kind"]
    head = {"task": task, "variant": variant, "profile": profile, "run_key": f"key{strength}"}
    numbers = {"steps": 400, "minutes": 2.5, "parameters": 1_234_567, "skipped_steps": strength, "returns": strength}
    numbers |= {"went_back": [], "collapsed": False}
    bits = {"nll": -6.0, "bits_per_dim": -2.0, "validation_nll": -5.7, "validation_bits_per_dim": -1.9 - 0.1 * strength}
    write_json(folder / "training" / "summary.json", {**head, **numbers, **bits})
    curve = [
        {"step": s, "bits_per_dim": 2 * np.exp(-s / 80) - 2 + 0.1 * random.normal(), "gradient_norm": 30 / (1 + s / 50)}
        for s in range(0, 400, 20)
    ]
    write_csv(folder / "training" / "curve.csv", ["step", "bits_per_dim", "gradient_norm"], curve)
    validation = [{"step": s, "nll": 1.0, "bits_per_dim": 2 * np.exp(-s / 80) - 1.9} for s in (100, 200, 300, 400)]
    write_csv(folder / "training" / "validation.csv", ["step", "nll", "bits_per_dim"], validation)
    entries = []
    for index, (name, pixels) in enumerate((photographs or {"cat": plain_photograph()}).items()):
        entries.append(write_samples(folder / "samples", f"p{index}", name, pixels, draws, 8 + 4 * strength, random))
    aspect = KINDS[kind].aspect
    samples = {**head, "kind": kind, "aspect": aspect, "scale": 4, "temperature": 0.9, "pictures": entries}
    write_json(folder / "samples" / "samples.json", samples)
    metrics = {name: 10.0 + strength for name in metrics_of(aspect)}
    metrics["lpips"] = None
    write_json(
        folder / "evaluation" / "metrics.json",
        {
            **head,
            "pictures": len(entries),
            "draws": draws,
            "metrics": metrics,
            "reasons": {"lpips": f"no weights for {variant}"},
            "baseline": {name: 1.0 for name in metrics},
        },
    )
    write_stability(folder / "stability", head, strength)
    return folder


def plain_photograph():
    return np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 64, 3))


def write_samples(folder, sub, name, pixels, draws, noise, random):
    small = pixels[::4, ::4]
    write_png(folder / sub / "reference.png", pixels)
    write_png(folder / sub / "input.png", small)
    write_png(
        folder / sub / "baseline.png", np.repeat(np.repeat(small, 4, 0), 4, 1)[: pixels.shape[0], : pixels.shape[1]]
    )
    for estimate in ("latent_mean", "draws_mean"):
        write_png(folder / sub / f"{estimate}.png", pixels)
    files = []
    for draw in range(draws):
        noisy = pixels + random.normal(0, noise, pixels.shape)
        write_png(folder / sub / f"draw_{draw:02}.png", noisy.clip(0, 255).astype(np.uint8))
        bad = {"nonfinite_values": 0, "outside_values": 30 if draw == 1 and noise > 10 else 0}
        files.append(
            {"file": f"{sub}/draw_{draw:02}.png", "minimum": 0.0, "maximum": 1.0, "values": pixels.size, **bad}
        )
    named = {kind: f"{sub}/{kind}.png" for kind in ("reference", "input", "baseline", "latent_mean", "draws_mean")}
    return {"id": name, **named, "draws": files}


def write_stability(folder, head, strength):
    kinds = ("uniform_noise", "binary_noise", "checkerboard", "saturated")
    names = [f"{kind}_{i}" for kind in kinds for i in (1, 2)]
    growth = {"in_distribution": 0.02, **{name: 0.1 * strength * (i + 1) for i, name in enumerate(names)}}
    rows = [
        {
            "index": i,
            "layer": f"layer {i}",
            "level": "",
            "condition": condition,
            "kind": condition.rstrip("_12"),
            "variance": float(np.exp(rate * i)),
        }
        for condition, rate in growth.items()
        for i in range(40)
    ]
    rows[-1]["variance"] = None if strength else rows[-1]["variance"]
    write_csv(folder / "feature_variance.csv", list(rows[0]), rows)
    columns = ["name", "kind", "bad_share", "nonfinite_values", "values", "largest"]
    stress = [
        {
            "name": name,
            "kind": name[:-2],
            "bad_share": min(1.0, 0.1 * strength * i),
            "nonfinite_values": 7 * strength,
            "values": 1000,
            "largest": 10.0**strength if i else None,
        }
        for i, name in enumerate(names)
    ]
    write_csv(folder / "stress.csv", columns, stress)
    lines = {"photographs": 0.0, "photographs and stress inputs": 0.3 * strength, "mean": 0.1 * strength}
    ranked = [{"inputs": n, "rank": r, "bad_share": s * (1 - r / 100)} for n, s in lines.items() for r in (0.0, 100.0)]
    write_csv(folder / "out_of_distribution_curve.csv", list(ranked[0]), ranked)
    for name in names:
        write_png(folder / "stress" / f"{name}.png", np.full((40, 80, 3), 100, np.uint8))
    analyses = {
        "bad_pixels": {"bad_share_stress": 0.2 * strength, "bad_share_in_distribution": 0.0},
        "brand_new": {"some_number": 3.5},
        "certified_bound": {"largest_slope": 8.0 + strength, "value": 12.5 if strength == 2 else None},
    }
    reasons = {} if strength == 2 else {"certified_bound.value": "no bound"}
    write_json(folder / "summary.json", {**head, "analyses": analyses, "reasons": reasons})


def write_manifest(root, task, note, pictures):
    content = {"licence": "free", "notes": [note], "demo": True, "pictures": pictures}
    write_json(root / "data" / "prepared" / task / "manifest.json", content)


BOTH = ("df2k_x4", "lol")


def build_root(root):
    """Write all variants of one task into the folder ``root``; return it."""
    for strength, variant in enumerate(VARIANTS):
        write_variant(root, variant, strength)
    pictures = [{"id": "a", "split": "train"}, {"id": "cat", "split": "validation"}]
    write_manifest(root, "df2k_x4", "A note.", pictures)
    return root


def build_both(root):
    """Two tasks: super-resolution, and low light on synthetic pairs."""
    build_root(root)
    for strength, variant in enumerate(VARIANTS):
        write_variant(root, variant, strength, task="lol")
    sides = [{"id": "cat", "split": "validation"}, {"id": "cat", "split": "validation", "role": "input"}]
    write_manifest(root, "lol", "demo: synthetic low-light pairs; not LOL", sides)
    return root


class Page(html.parser.HTMLParser):
    """Collects tags, the addresses that they name, and their text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.texts, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in {"src", "href", "srcset", "action", "data", "poster"}]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.texts.append(data.strip())

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def page_of(root, params=None):
    return build_report(root, params or make_params()).read_text(encoding="utf-8")
