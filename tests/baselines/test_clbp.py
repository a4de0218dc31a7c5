"""Completed local binary patterns on three planes, against scikit-image and a plain computation."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from skimage.feature import local_binary_pattern

from smilelab.baselines import clbp


def differences(grey, plane, radius):
    """(8, T, H, W): neighbours less centre, by scipy; beyond the volume its border is repeated."""
    axes = clbp.PLANES[plane]
    apart = np.empty((8, *grey.shape))
    for number, angle in enumerate(np.arange(8) * np.pi / 4):
        at = np.indices(grey.shape).astype(float)
        at[axes[0]] -= radius * np.sin(angle)
        at[axes[1]] += radius * np.cos(angle)
        apart[number] = map_coordinates(grey, at, order=1, mode="nearest") - grey
    return apart


def clear(grey, plane, radius):
    """Where no neighbour is within a few hundredths of a grey level of what decides, in signs and in magnitudes."""
    apart = differences(grey, plane, radius)
    size = np.abs(apart)
    return [((np.abs(x) > 0.03) | (np.abs(x) < 1e-9)).all(0) for x in (apart, size - size.mean())]


def volume(shape=(14, 24, 21), seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape)


@pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern`:UserWarning")
@pytest.mark.parametrize("plane", clbp.PLANES)
@pytest.mark.parametrize("radius", [1, 2, 3])
def test_signs_are_scikit_images_uniform_patterns(plane, radius):
    grey = volume()
    found = clbp.codes(grey, plane, radius).signs
    rows, columns = clbp.PLANES[plane]
    along = ({0, 1, 2} - {rows, columns}).pop()
    # Beyond the picture scikit-image sees black, so the border is another matter.
    inside = slice(radius, -radius)
    told = clear(grey, plane, radius)[0]
    assert told.mean() > 0.99
    for number in range(grey.shape[along]):
        peer = local_binary_pattern(np.take(grey, number, along), 8, radius, method="uniform")
        own, peer, here = (
            part[inside, inside] for part in (np.take(found, number, along), peer, np.take(told, number, along))
        )
        np.testing.assert_array_equal(own[here], peer[here])


def test_signs_of_whole_grey_levels_are_scikit_images_too():
    grey = volume().astype(np.uint8)
    found = clbp.codes(grey, "XY", 1).signs[:, 1:-1, 1:-1]
    told = np.stack([local_binary_pattern(frame, 8, 1, method="uniform") for frame in grey])[:, 1:-1, 1:-1]
    assert (found == told).mean() > 0.999


@pytest.mark.parametrize("plane", clbp.PLANES)
def test_both_codes_are_those_of_a_plain_computation(plane):
    grey, radius = volume((5, 6, 7), seed=1), 2
    apart = differences(grey, plane, radius)
    found, told = clbp.codes(grey, plane, radius), clear(grey, plane, radius)
    assert min(where.mean() for where in told) > 0.9
    bits = (apart >= -1e-9, np.abs(apart) >= np.abs(apart).mean())
    for codes, ones, where in zip(found, bits, told, strict=True):
        for place in map(tuple, np.argwhere(where)):
            circle = ones[(slice(None), *place)]
            changes = sum(circle[k] != circle[k - 1] for k in range(8))
            assert codes[place] == (circle.sum() if changes <= 2 else 9)


def test_a_dot_has_the_codes_that_one_counts_by_hand():
    grey = np.full((1, 5, 5), 10.0)
    grey[0, 2, 2] = 90
    found = clbp.codes(grey, "XY", 1)
    # From the dot all neighbours are darker; from the one to its left one is brighter and the others are equal.
    assert found.signs[0, 2, 2] == 0
    assert found.signs[0, 2, 1] == 8
    # Of magnitudes: 8 about the dot, one at each of its 4 straight neighbours, parts of one at the diagonal ones.
    assert found.magnitudes[0, 2, 2] == 8
    assert found.magnitudes[0, 2, 1] == found.magnitudes[0, 1, 2] >= 1
    assert found.magnitudes[0, 0, 0] == 0
    assert clbp.bright(grey).sum() == 1
    assert clbp.joint(found, clbp.bright(grey))[0, 2, 2] == (0 * 10 + 8) * 2 + 1


def test_even_areas_have_no_signs_by_chance():
    # Interpolation between equal pixels gives, in floating point, not quite their value.
    for value in range(0, 256, 5):
        assert set(clbp.codes(np.full((3, 6, 6), value, np.uint8), "XT", 3).signs.ravel()) == {8}


def test_a_turned_picture_has_the_same_histograms():
    grey = volume((2, 20, 20))
    upright, turned = (clbp.codes(picture, "XY", 2) for picture in (grey, np.rot90(grey, axes=(1, 2))))
    for one, other in zip(upright, turned, strict=True):
        np.testing.assert_array_equal(clbp.shares(one, 10), clbp.shares(other, 10))


def test_planes_through_time_see_time():
    still = np.repeat(volume((1, 16, 16)), 12, 0)
    flicker = still + 60 * (np.arange(12) % 2)[:, None, None]
    xy, xt = (
        [clbp.shares(clbp.codes(v - v.mean((1, 2), keepdims=True), p, 1).signs, 10) for v in (still, flicker)]
        for p in ("XY", "XT")
    )
    np.testing.assert_allclose(*xy)
    np.testing.assert_allclose(*xt)
    brighter = [clbp.shares(clbp.codes(v, "XT", 1).signs, 10) for v in (still, flicker)]
    assert np.abs(brighter[0] - brighter[1]).sum() > 0.2


def test_shares_sum_to_one_and_nothing_has_none():
    np.testing.assert_allclose(clbp.shares(np.array([[0, 2], [2, 2]], np.uint8), 4), [0.25, 0, 0.75, 0])
    assert clbp.shares(np.empty((0, 3), np.uint8), 4).tolist() == [0, 0, 0, 0]
