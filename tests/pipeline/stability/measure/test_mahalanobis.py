"""The score of paper A, eqs. 11 and 12, against scipy's distance, and the printed form by hand."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from pipeline.stability.measure.mahalanobis import fit


def features(count, width, seed=0):
    """Return correlated vectors whose mean is far from zero."""
    random = np.random.default_rng(seed)
    return random.normal(size=(count, width)) @ random.normal(size=(width, width)) + 3.0


def test_it_is_the_distance_of_mahalanobis():
    inside, asked = features(200, 6), features(5, 6, seed=1)
    found = fit(inside, shrinkage=0.0).distances(asked)
    inverse = np.linalg.inv(np.cov(inside.T, bias=True))
    assert found == pytest.approx([mahalanobis(v, inside.mean(0), inverse) for v in asked])


def test_the_printed_form_by_hand():
    # mean (2, 0), covariance diag(1, 1), and so E[u u^T] = diag(1 + 2^2, 1)
    inside = np.array([[1.0, 1.0], [1.0, -1.0], [3.0, 1.0], [3.0, -1.0]])
    asked = np.array([[4.0, 0.0], [2.0, 3.0], [7.0, 2.0]])
    printed = fit(inside, centred=False, shrinkage=0.0).distances(asked)
    assert printed == pytest.approx([(4 / 5) ** 0.5, 3.0, (25 / 5 + 4 / 1) ** 0.5])
    assert fit(inside, shrinkage=0.0).distances(asked) == pytest.approx([2.0, 3.0, (25 + 4) ** 0.5])


def test_the_printed_form_is_the_centred_one_less_its_part_along_the_mean():
    inside, asked = features(300, 4), features(7, 4, seed=1)
    centred, printed = (fit(inside, centred=c, shrinkage=0.0).distances(asked) for c in (True, False))
    mean, inverse = inside.mean(0), np.linalg.inv(np.cov(inside.T, bias=True))
    along = (asked - mean) @ inverse @ mean
    assert printed**2 == pytest.approx(centred**2 - along**2 / (1 + mean @ inverse @ mean))


def test_fewer_vectors_than_features_are_shrunk_and_rank_what_is_far():
    inside = features(10, 30)
    reference = fit(inside)
    assert 0 < reference.shrinkage <= 1 and reference.patches == 10
    near, far = reference.distances(np.stack([inside.mean(0), inside.mean(0) + 50.0]))
    assert near == 0.0 and far > 10


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (features(1, 3), "two vectors at least, got 1"),
        (np.full((4, 2), np.nan), "not finite"),
        (np.ones((5, 2)), "covariance of 5 vectors of 2 features cannot be inverted"),
    ],
)
def test_what_has_no_covariance_is_refused(inside, said):
    with pytest.raises(ValueError, match=said):
        fit(inside)


def test_a_feature_that_is_not_finite_has_no_distance():
    found = fit(features(50, 3)).distances(np.array([[np.inf, 0, 0], [np.nan, 0, 0], [1, 1, 1]]))
    assert np.isnan(found[:2]).all() and np.isfinite(found[2])
