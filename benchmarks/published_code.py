"""Run a published network's own code, from a checkout, as an arm of benchmarks/performance.py.

    python benchmarks/published_code.py CHECKOUT 4 spline 160 1

is started by it, in a process of its own since such code has top-level packages of the same names as ours, and answers
each line on its standard input, "step", "encode", "draw N", "peak" or "flops" with one of them behind it, with one line
on its standard output, when it has done that: the FLOPs or bytes where it counted any.

CHECKOUT: smhongok/robustNF (paper A's released code, affine and spline) or dsshim0125/FS-NCSR (affine alone), as it is
cloned. It is asked for the network of ``confs/4X.yml`` or ``8X.yml`` with fresh weights, on one random picture, and
trained by Adam on the mean nll with conditional noise, as its ``NCSR_model.py`` does, which itself runs on CUDA alone.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import torch
import yaml
from peak_memory import reset_peak, resident
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

COUPLINGS = {"affine": "CondAffineSeparatedAndCond", "spline": "CondRQsplineSeparatedAndCond"}


class Published:
    """The network of a checkout, its optimizer and a random picture."""

    def __init__(self, checkout: Path, scale: int, variant: str, size: int) -> None:
        sys.path.insert(0, str(checkout))
        from models.modules.NCSRNet_arch import NCSRNet  # the checkout's

        options = yaml.safe_load((checkout / "confs" / f"{scale}X.yml").read_text(encoding="utf-8"))
        of_network = options["network_G"]
        of_network["flow"]["coupling"] = COUPLINGS[variant]
        if scale == 8:
            of_network["flow"]["permutation_train"] = False  # as paper A's 8x
        torch.manual_seed(0)
        sizes = {name: of_network[name] for name in ("in_nc", "out_nc", "nf", "nb")}
        self.network = NCSRNet(**sizes, scale=scale, K=of_network["flow"]["K"], opt=options)
        self.parameters = [one for one in self.network.parameters() if one.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, 1e-5)
        self.hr = torch.rand(1, 3, size, size)
        self.lr = F.interpolate(self.hr, scale_factor=1 / scale, mode="area")
        self.noise = torch.zeros_like(self.hr)  # and its scale, which the couplings see
        self.network.train()
        self.step()  # sets ActNorm
        self.latent = self.encode()

    def step(self) -> None:
        """Take one optimizer step."""
        self.optimizer.zero_grad()
        noise = 0.05 * torch.rand(()) * torch.randn_like(self.hr)
        _, nll, _ = self.network(gt=self.hr + noise, lr=self.lr, reverse=False, std=noise, add_gt_noise=True)
        nll.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 50.0)
        self.optimizer.step()

    @torch.no_grad()
    def encode(self) -> torch.Size:
        """Compute the latent, whose shape is returned, and the log-determinant."""
        return self.network(gt=self.hr, lr=self.lr, reverse=False, std=self.noise)[0].shape

    @torch.no_grad()
    def draw(self, count: int) -> None:
        """Make ``count`` draws one after the other, as its ``test.py`` does."""
        for _ in range(count):
            z = 0.5 * torch.randn(self.latent)
            self.network(lr=self.lr, z=z, eps_std=0.5, reverse=True, std=self.noise)

    def do(self, words: list[str]) -> str:
        """Do what a line asks for and return what it counted, if anything."""
        name, *rest = words
        if name == "flops":
            with FlopCounterMode(display=False) as counter:
                self.do(rest)
            return str(counter.get_total_flops())
        if name == "peak":
            self.optimizer.zero_grad()
            before = reset_peak()
            self.do(rest)
            return str(max(1, resident("VmHWM") - before))
        getattr(self, name)(*map(int, rest))
        return "done"


def main() -> None:
    """Answer lines until there are no more."""
    checkout, scale, variant, size, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    answers = sys.stdout
    with redirect_stdout(sys.stderr):  # such code prints
        published = Published(Path(checkout).resolve(), int(scale), variant, int(size))
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            print(published.do(line.split()), file=answers, flush=True)


if __name__ == "__main__":
    main()
