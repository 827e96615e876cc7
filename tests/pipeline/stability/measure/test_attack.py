"""The invertibility attack finds what evaluation does not, and stays in the box of a picture's bits."""

import pytest
import torch

from models.flow.bijection import Bijection, Chain
from models.flow.layers.conditional_net import UnconditionalNet
from models.flow.layers.coupling import Coupling
from models.flow.transforms import RangedAffine
from models.lab.glow import Glow
from models.lab.log_det import PowerSeries
from models.lab.residual import residual_flow
from pipeline.seeds import generator
from pipeline.stability.measure.attack import dequantization_box, invertibility_attack, reconstruction_error

BITS, SIDE = 5, 8
PIXELS = torch.full((1, 2, SIDE, SIDE), 100, dtype=torch.uint8)


class Cliff(UnconditionalNet):
    """A scale that collapses where all pixels of x1 are above ``centre`` at once, and a shift of 1."""

    def __init__(self, centre, steepness=1500.0):
        super().__init__()
        self.centre, self.steepness = centre, steepness

    def forward(self, x, shared):
        fall = (x - self.centre).mean((1, 2, 3), keepdim=True) * -self.steepness
        return torch.cat([torch.ones_like(fall), fall], 1)


class NanGradient(Bijection):
    """The identity, whose gradient with respect to the second channel is NaN: 0 * inf."""

    def forward(self, x, condition=None):
        return torch.cat([x[:, :1], x[:, 1:] + (0.0 * x[:, 1:]).sqrt()], 1), x.new_zeros(len(x))

    def inverse(self, z, condition=None):
        return z, z.new_zeros(len(z))


def glow():
    return Glow(RangedAffine(least=0.0), levels=2, steps=1, hidden=4)


def contraction():
    return residual_flow(3, (8, 8), levels=1, blocks=1, hidden=4, log_det=PowerSeries(terms=2))


def cliff(pixels=PIXELS, steepness=1500.0):
    """Return x2 -> x2 g(x1) + 1: where g is tiny, the sum forgets x2."""
    box = dequantization_box(pixels, BITS)
    centre = float((box.lower + box.upper).mean() / 2)
    net = Cliff(centre, steepness)
    return Coupling(2, RangedAffine(0.0, 1.0), 0, 0, net=lambda *sizes: net), box


def attack(flow, box, names=None, steps=60, size=1e-3, **options):
    sources = [generator("attack", name) for name in (names or range(len(box.lower)))]
    return invertibility_attack(flow, box, sources, steps=steps, size=size, **options)


@torch.no_grad()
def largest_of_draws(flow, box, draws=2000):
    """Return the largest reconstruction error of uniform dequantizations."""
    shares = torch.rand(draws, *box.lower.shape[1:], generator=generator("draws"))
    return float(reconstruction_error(flow, box.lower + (box.upper - box.lower) * shares).max())


def test_the_attack_finds_a_region_that_2000_draws_do_not():
    flow, box = cliff()
    found = attack(flow, box)
    assert float(found.before) < 1e-4 and largest_of_draws(flow, box) < 1e-4
    assert float(found.after) > 1.0 and not found.nonfinite.any()


def test_what_it_finds_is_there_in_plain_evaluation():
    flow, box = cliff()
    found = attack(flow, box)
    x = found.picture
    assert (x >= box.lower).all() and (x <= box.upper).all()
    with torch.no_grad():
        again = flow.inverse(flow(x)[0])[0]
    assert float((x - again).norm()) == pytest.approx(float(found.after), rel=1e-5)


def test_a_scale_that_reaches_zero_is_counted_as_not_finite():
    flow, box = cliff(steepness=15000.0)
    found = attack(flow, box)
    assert found.nonfinite.tolist() == [True] and 0 < int(found.steps) < 60
    with torch.no_grad():
        assert not flow.inverse(flow(found.picture)[0])[0].isfinite().all()


def test_gradients_that_are_nan_do_not_stop_it():
    flow, box = cliff()
    found = attack(Chain([NanGradient(), flow]), box)
    assert float(found.before) < 1e-4 and float(found.after) > 1.0


def test_pictures_are_attacked_in_a_batch_as_each_alone():
    pixels = torch.cat([PIXELS, PIXELS + 1, PIXELS - 60])
    flow, _ = cliff()
    box = dequantization_box(pixels, BITS)
    together = attack(flow, box, start="random")
    for row in range(3):
        one = type(box)(*(side[row : row + 1] for side in box))
        alone = attack(flow, one, names=[row], start="random")
        assert all(torch.equal(single[0], every[row]) for single, every in zip(alone, together, strict=True))
    assert len({float(error) for error in together.after}) == 3


@pytest.mark.parametrize("make", [glow, contraction])
def test_unconditional_networks_can_be_attacked(make):
    torch.manual_seed(0)
    flow = make().eval()
    pixels = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8, generator=generator("pixels"))
    box = dequantization_box(pixels, 5, low=-0.5, high=0.5)
    found = attack(flow, box, steps=3, start="random")
    assert (found.after >= found.before).all() and found.steps.tolist() == [3, 3]
    with torch.no_grad():
        torch.testing.assert_close(reconstruction_error(flow, found.picture), found.after, rtol=1e-3, atol=1e-6)


def test_the_start_is_the_centre_or_at_random_in_the_box():
    flow, box = cliff()
    centre = attack(flow, box, steps=1).start
    assert torch.equal(centre, torch.full_like(centre, 12.5 / 32))  # 100 of 256 is 12 of 32
    drawn = attack(flow, box, steps=1, start="random").start
    assert ((drawn >= box.lower) & (drawn <= box.upper)).all() and drawn.std() > 0.2 / 2**BITS
    with pytest.raises(ValueError, match=r"start 'centr' does not exist; did you mean 'centre'\?"):
        attack(flow, box, start="centr")


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_picture_lies_in_its_own_box_and_boxes_tile_the_range(bits):
    levels = torch.arange(256, dtype=torch.uint8)
    box = dequantization_box(levels, bits)
    x = levels / 255.0
    assert ((box.lower <= x) & (x <= box.upper)).all()
    assert torch.equal(box.lower.unique(), torch.arange(2**bits) / 2**bits)
    assert torch.equal(box.upper - box.lower, torch.full((256,), 1 / 2**bits))


def test_the_box_is_in_the_networks_range():
    box = dequantization_box(torch.tensor([0, 255], dtype=torch.uint8), 5, low=-0.5, high=0.5)
    assert box.lower.tolist() == [-0.5, 31 / 32 - 0.5] and box.upper.tolist() == [1 / 32 - 0.5, 0.5]
    with pytest.raises(ValueError, match="bits must be 1 to 8, got 9"):
        dequantization_box(PIXELS, 9)


def test_an_error_whose_square_no_float32_holds_is_finite():
    class Far(Bijection):
        forward = lambda self, x, condition=None: (x, x.new_zeros(len(x)))  # noqa: E731
        inverse = lambda self, z, condition=None: (z + 1e25, z.new_zeros(len(z)))  # noqa: E731

    assert float(reconstruction_error(Far(), torch.zeros(1, 1, 1, 1))) == pytest.approx(1e25)
