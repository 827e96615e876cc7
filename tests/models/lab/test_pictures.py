"""Glow and the invertible classifier: the papers' shapes, sizes and densities."""

import pytest
import torch
from torch.autograd.functional import jacobian

from models.flow.bijection import standard_normal_log_prob
from models.flow.layers.actnorm import ActNorm, initializing
from models.flow.layers.coupling import Coupling
from models.flow.layers.invertible_conv import InvertibleConv1x1
from models.flow.layers.permutation import Permutation
from models.flow.layers.split import Split
from models.flow.transforms import Additive, Affine, RangedAffine
from models.lab.classifier import InvertibleClassifier, PlainNet
from models.lab.glow import Glow, TopPrior

TRANSFORMS = {"additive": Additive(), "affine": RangedAffine(least=0.0), "modified": RangedAffine()}


def count(network, kind):
    return sum(isinstance(module, kind) for module in network.modules())


def shaken(network, spread=0.1):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return network.double()


def test_glow_has_the_papers_layers():
    """Table 6: 3 levels, 32 blocks each, reverse permutations; two splits with learned priors, a learned top."""
    with torch.device("meta"):
        network = Glow(Additive())
    assert [count(network, kind) for kind in (Coupling, Permutation, Split, TopPrior)] == [96, 96, 2, 1]
    assert network.latent_shape(32, 32) == (192, 4, 4)
    assert {module.net.mix.out_channels for module in network.modules() if isinstance(module, Coupling)} == {512}


def test_glow_has_the_size_that_table_6_gives():
    """Counted by hand: nets are 3x3 - 1x1 - 3x3 with 512 channels and actnorm, and levels have 12, 24, 48 channels."""
    with torch.device("meta"):
        network = Glow(Affine(eps=0.01), permutation="learned")
    expected = 2 * 48  # the learned top
    for channels in (12, 24, 48):
        half, hidden = channels // 2, 512
        net = 9 * half * hidden + 2 * hidden + hidden**2 + 2 * hidden + 9 * hidden * channels + 2 * channels
        expected += 32 * (2 * channels + channels**2 + net)
    for channels in (12, 24):  # splits: a 3x3 convolution from one half to mean and deviation of the other, and scales
        expected += 9 * (channels // 2) * channels + 2 * channels
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_density_of_glow_integrates_to_one(name):
    """Importance sampling from a wide normal distribution, pictures of 2 x 2 pixels."""
    network = shaken(Glow(TRANSFORMS[name], levels=1, steps=2, hidden=4, channels=1))
    torch.manual_seed(0)
    x = 2.0 * torch.randn(200_000, 1, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        z, log_det = network(x)
    proposal = torch.distributions.Normal(0.0, 2.0).log_prob(x).flatten(1).sum(1)
    weights = (standard_normal_log_prob(z) + log_det - proposal).exp()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.02 and (weights.mean() - 1).abs() < 4 * error


def test_the_learned_top_is_the_published_density():
    layer, x = shaken(TopPrior(2), 0.5), torch.randn(3, 5, 2, 2, dtype=torch.float64)
    z, log_det = layer(x)
    expected = torch.distributions.Normal(layer.mean, layer.logs.exp()).log_prob(x[:, :2]).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z[:, :2]) + log_det, expected)
    assert torch.equal(z[:, 2:], x[:, 2:])


def test_the_top_prior_reads_what_went_through_all_levels():
    """The first channels of the latent are the deepest level's: the last ones left at the first split."""
    network = Glow(Additive(), levels=3, steps=1, hidden=4)
    assert network.layers[1].mean.shape[1] == 48  # Glow for CIFAR-10: 4 x 4 x 48


@pytest.mark.parametrize("name", ["additive", "affine"])
@pytest.mark.parametrize("permutation", ["shuffle", "learned"])
def test_the_classifier_has_the_papers_layers(name, permutation):
    """Table 8: 3 levels of 16 blocks, 128 hidden channels; all 3,072 values reach the projection."""
    with torch.device("meta"):
        network = InvertibleClassifier(TRANSFORMS[name], permutation)
    kind = Permutation if permutation == "shuffle" else InvertibleConv1x1
    assert [count(network, layer) for layer in (Coupling, ActNorm, kind, PlainNet)] == [48, 48, 48, 48]
    widths = {module.passed + module.transformed for module in network.modules() if isinstance(module, Coupling)}
    assert widths == {12, 48, 192}
    assert network.head[2].in_features == 3072 and network.head[2].out_features == 10
    assert {module.mix.out_channels for module in network.modules() if isinstance(module, PlainNet)} == {128}


def test_the_classifier_starts_with_log_det_of_its_actnorms_alone_and_normalized_features():
    torch.manual_seed(0)
    network = InvertibleClassifier(Additive(), size=8, levels=2, steps=2, hidden=4, channels=1)
    x = torch.randn(64, 1, 8, 8) * 3 + 1
    with initializing(network):
        network(x)
    z, log_det = network(x)
    torch.testing.assert_close(z.std(), torch.tensor(1.0), atol=0.02, rtol=0)
    assert (log_det == log_det[0]).all()  # additive couplings keep volume


def test_classify_agrees_with_the_bijection_and_gives_gradients_to_all():
    network = shaken(InvertibleClassifier(RangedAffine(least=0.0), "learned", 7, 8, 2, 2, 4, 1), 0.05)
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    found = network.classify(x)
    assert found.logits.shape == (5, 7) and found.z.shape == (5, *network.latent_shape(8, 8))
    torch.testing.assert_close(network.inverse(found.z)[0], x)
    torch.testing.assert_close(found.logits, network.head(found.z.flatten(1)))
    (found.logits.square().mean() + 1e-3 * found.log_det.mean()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_log_det_of_a_classifier_is_that_of_its_jacobian():
    network = shaken(InvertibleClassifier(RangedAffine(least=0.0), "shuffle", 3, 4, 2, 2, 4, 1))
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    square = jacobian(lambda x: network(x)[0].flatten(), x).reshape(16, 16)
    torch.testing.assert_close(torch.linalg.slogdet(square)[1], network(x)[1][0])


def test_impossible_sizes_and_features_are_refused():
    with pytest.raises(ValueError, match="8 divides, got 12"):
        InvertibleClassifier(Additive(), size=12)
    with pytest.raises(ValueError, match="sees no features"):
        Coupling(4, Additive(), 3, 8, net=PlainNet)
