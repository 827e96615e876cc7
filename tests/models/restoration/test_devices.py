"""Networks, shielded ones too, compute where they are: tensors that only pretend to be on a GPU tell what is not."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode

from models.flow import features
from models.flow.ranges import JointRange
from models.flow.transforms import Affine, CertifiedSpline, RationalQuadraticSpline
from models.restoration.low_light import LowLightFlow
from models.restoration.shielding import add_shield, ranges_of
from models.restoration.super_resolution import SuperResolutionFlow

TINY = {"channels": 4, "blocks": 1, "growth": 2, "taps": [0]}
NETWORKS = {
    "super_resolution": (lambda transform: SuperResolutionFlow(transform, 4, 3, 1, 4, [0, 1, 1], "learned", TINY), 3),
    "low_light": (lambda transform: LowLightFlow(transform, 1, 4, "learned", TINY), 6),
}
TRANSFORMS = (Affine(), RationalQuadraticSpline(), CertifiedSpline())


@pytest.fixture
def pretending():
    """Tensors only pretend meanwhile; none of them stays in a cache."""
    features._sums.cache_clear()
    with FakeTensorMode():
        yield
    features._sums.cache_clear()


def restored(network, channels):
    """Return what becomes of a picture and back, on a GPU that is none."""
    seen = torch.zeros(1, channels, 8, 8, device="cuda")
    condition = network.share(seen)
    z = torch.zeros(1, *network.latent_shape(8, 8), device="cuda")
    picture = network.inverse(z, condition)[0]
    return network(picture, condition)[0]


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shielded", [False, True])
@pytest.mark.usefixtures("pretending")
def test_a_network_computes_where_it_is(name, transform, shielded):
    make, channels = NETWORKS[name]
    with torch.device("cuda"):
        network = make(transform)
    if shielded:
        add_shield(network, margin=0.05)
        assert ranges_of(network)
    assert restored(network, channels).device.type == "cuda"


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.usefixtures("pretending")
def test_what_stayed_elsewhere_is_found():
    make, channels = NETWORKS["super_resolution"]
    with torch.device("cuda"):
        network = make(Affine())
    add_shield(network, margin=0.05)
    one = next(iter(ranges_of(network).values()))
    one.low = torch.zeros(one.entries)
    with pytest.raises(FakeTensorDeviceMismatchError):
        restored(network, channels)


def test_a_range_elsewhere_is_fitted_where_the_pixels_are():
    with torch.device("meta"):
        elsewhere = JointRange(3, margin=0.05)
    elsewhere.fit(torch.randn(3, 100), 0.01, 0.01, 1.5)  # nothing of it can be read back
    assert elsewhere.low.device.type == "meta"
