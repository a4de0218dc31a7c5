"""Local phase quantisation against plain Fourier sums, and what it promises."""

import cmath

import cv2
import numpy as np
import pytest

from smilelab.baselines import local_phase

# Of the turn that decorrelates: as large are its parts, to three decimals.
PARTS = [0.0, 0.005, 0.073, 0.074, 0.136, 0.137, 0.694, 0.707, 0.995]


def picture(seed=0, size=40):
    noise = np.random.default_rng(seed).uniform(0, 255, (size, size))
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_plain_codes_are_signs_of_fourier_sums():
    grey = picture()
    found = local_phase.codes(grey, decorrelated=False)
    for row, column in [(5, 8), (20, 20), (31, 13), (10, 30)]:
        sums = []
        for u, v in ((1, 0), (0, 1), (1, 1), (1, -1)):
            sums.append(
                sum(
                    float(grey[row + y, column + x]) * cmath.exp(-2j * cmath.pi * (u * x + v * y) / 7)
                    for y in range(-3, 4)
                    for x in range(-3, 4)
                )
            )
        bits = [part >= 0 for part in (*(s.real for s in sums), *(s.imag for s in sums))]
        assert found[row, column] == sum(bit << k for k, bit in enumerate(bits))


def test_decorrelated_responses_are_uncorrelated_in_the_assumed_picture():
    y, x = (axis.ravel() for axis in np.mgrid[:7, :7])
    correlation = 0.9 ** np.hypot(x[:, None] - x, y[:, None] - y)
    plain, turned = (local_phase.filters(7, how).reshape(8, 49) for how in (False, True))
    before, after = plain @ correlation @ plain.T, turned @ correlation @ turned.T
    assert np.abs(after - np.diag(np.diag(after))).max() < 1e-4
    assert np.abs(before - np.diag(np.diag(before))).max() > 0.1
    # A rotation of the same eight: nothing is lost or added.
    np.testing.assert_allclose(np.linalg.svd(turned)[1], np.linalg.svd(plain)[1])


def test_the_decorrelation_is_one_of_its_own_on_every_processor():
    flat = [local_phase.filters(7, how).reshape(8, 49) for how in (False, True)]
    turn = flat[1] @ np.linalg.pinv(flat[0])
    # Rotations within equal eigenvalues would show as parts between these.
    assert np.abs(np.abs(turn)[..., None] - PARTS).min(-1).max() < 1e-3
    assert (turn[np.arange(8), (np.abs(turn) >= 0.9 * np.abs(turn).max(1, keepdims=True)).argmax(1)] > 0).all()


@pytest.mark.parametrize("decorrelated", [True, False])
def test_blur_changes_few_codes_bits_and_another_picture_half_of_them(decorrelated):
    grey = picture(size=96)

    def bits(of):
        return np.unpackbits(local_phase.codes(of, decorrelated=decorrelated)[:, :, None], axis=2)

    blurred = cv2.GaussianBlur(grey, (0, 0), 1.0)
    assert (bits(grey) == bits(blurred)).mean() > 0.9
    assert 0.45 < (bits(grey) == bits(picture(1, 96))).mean() < 0.55
    brighter = (grey * 0.5 + 60).astype(np.uint8)
    assert (bits(grey) == bits(brighter)).mean() > 0.97


def test_even_areas_have_one_code():
    assert {int(local_phase.codes(np.full((9, 9), v, np.uint8)).max()) for v in range(0, 256, 17)} == {255}
    assert {int(local_phase.codes(np.full((9, 9), v, np.uint8)).min()) for v in range(0, 256, 17)} == {255}
