"""What tiles cost: the error that is left by width of the halo, and memory and time by size of the picture.

    python benchmarks/tiling.py artifacts/*/seed10/*/model            # hours; on an otherwise idle machine
    python benchmarks/tiling.py --quick artifacts/lol/seed10/affine/model

First a photograph, 256 x 256 pixels when restored (8x: 512 x 512), is restored whole and in tiles of a quarter of its
side, by each model, at temperature 0 and at the model's own. Halos are in pixels of the flow's coarsest level, as
``pipeline.inference.tiling.HALO``. "error" is the largest difference to the whole picture, "seam" the largest one that
tiles see where they meet, by which the halo is chosen; both in 1/255 of values clamped to [0, 1], the larger one of the
two temperatures.

Then one draw of larger and larger pictures is made, by the first model alone, as ``steadyflow sample`` does. Every size
has a process of its own, which writes the draw as PNG. "peak" is the largest resident memory of that process, with all
libraries; "seconds" are the processor's. Linux alone.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import math
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from skimage import data

from pipeline.console import progress
from pipeline.feasibility.profile import run_alone
from pipeline.inference.canvas import EightBit, Floats
from pipeline.inference.sampling import LatentBand, draw_images
from pipeline.inference.tiling import Cut, Restorer, Work
from pipeline.model_folder import LoadedFlow, load_flow
from pipeline.pictures.eight_bit import to_tensor, write_png

HALOS = (0, 1, 2, 4, 8, 16)
MEGAPIXELS = (0.75, 1.5, 3, 6, 12, 24, 48, 96, 192)


class _Fixed(Cut):
    def can_widen(self, longest):
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a model folder")
    parser.add_argument("--quick", action="store_true", help="three halos; pictures of 0.02 and 0.04 megapixels")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not Path("/proc/self/status").exists():
        sys.exit("benchmarks/tiling.py reads the peak of memory from /proc, which only Linux has")

    halos = (0, 2, 8) if arguments.quick else HALOS
    table = Table(title="error / seam, in 1/255, by halo")
    for column in ("model", *(str(halo) for halo in halos)):
        table.add_column(column, justify="left" if column == "model" else "right")
    for folder in progress(arguments.models, "halos"):
        flow = load_flow(folder)
        found = [errors(flow, halo) for halo in halos]
        table.add_row("/".join(folder.resolve().parts[-4:-1]), *(f"{error:.1g} / {seam:.1g}" for error, seam in found))
    console = Console(width=120)
    console.print(table)

    table = Table(title=f"one draw by {arguments.models[0]}, {arguments.threads} thread(s)")
    for column in ("megapixels", "peak, MiB", "seconds", "seconds / megapixel", "how"):
        table.add_column(column, justify="left" if column == "how" else "right")
    for size in progress((0.02, 0.04) if arguments.quick else MEGAPIXELS, "sizes"):
        found = run_alone(draw_large, arguments.models[0], size, arguments.threads)
        if isinstance(found, str):
            sys.exit(f"{size} megapixels: {found}")
        peak, seconds, how = found
        table.add_row(f"{size:g}", f"{peak:.0f}", f"{seconds:.2f}", f"{seconds / size:.2f}", how)
    console.print(table)


def errors(flow: LoadedFlow, halo: int) -> tuple[float, float]:
    """Return the largest difference to the whole picture, and between tiles where they meet, times 255."""
    network = flow.network
    side = 512 if network.scale == 8 else 256
    seen = picture_for(flow, side // network.scale, side // network.scale)
    error = seam = 0.0
    for temperature in {0.0, flow.config.temperature}:
        (whole,) = draw_images(network, seen, 1, temperature, 10, "benchmark")
        z = LatentBand(network.latent_shape(*seen.shape[2:]), 0, temperature, 10, "benchmark", 2**30)
        cut = _Fixed(network.multiple, core=seen.shape[2] // 4)
        cut.halo = halo * network.multiple
        with contextlib.redirect_stderr(io.StringIO()):
            (canvas,) = cut.restore(Work(network, seen, [z], (whole.shape[1], whole.shape[2]), Floats))
        tiles = canvas.image
        finite = whole.isfinite() & tiles.isfinite()
        difference = (whole.clamp(0, 1) - tiles.clamp(0, 1)).abs()[finite]
        error, seam = max(error, 255 * float(difference.max())), max(seam, 255 * cut.seam)
    return error, seam


def draw_large(folder: Path, megapixels: float, threads: int) -> tuple[float, float, str]:
    """Return the peak of this process (MiB), the processor's seconds for a draw, and what was said of tiles."""
    torch.set_num_threads(threads)
    flow = load_flow(folder)
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4) / flow.network.scale)
    seen = picture_for(flow, height, height * 4 // 3)
    began, said = time.process_time(), io.StringIO()
    with contextlib.redirect_stdout(said):
        blank = functools.partial(EightBit, "round")
        for canvas in Restorer(flow.network).paint(blank, seen, 1, flow.config.temperature, 10, "benchmark"):
            with tempfile.TemporaryDirectory() as written:
                write_png(Path(written) / "draw.png", canvas.pixels)
    seconds = time.process_time() - began
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
    tiles = re.findall(r"(\d+ tiles of \d+ x \d+)", said.getvalue())
    return peak, seconds, tiles[0] if tiles else "whole"


def picture_for(flow: LoadedFlow, height: int, width: int) -> torch.Tensor:
    """Return what the network sees of a photograph, repeated to a size."""
    photograph = data.astronaut()
    rows, columns = -(-height // len(photograph)), -(-width // len(photograph))
    pixels = np.tile(photograph, (rows, columns, 1))[:height, :width]
    if flow.network.scale == 1:  # dark
        pixels = pixels // 6
    return flow.kind.from_picture(to_tensor(pixels))


if __name__ == "__main__":
    main()
