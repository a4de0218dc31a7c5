"""Flow of textures that were moved by known amounts."""

import cv2
import numpy as np
import pytest

from smilelab.baselines.flow import clip_flow, farneback, side_speeds, stack_starts

SIZE = 56


@pytest.fixture(scope="module")
def texture():
    noise = np.random.default_rng(0).normal(size=(160, 160)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX)


def moved(texture, right, down, size=SIZE):
    """Part of the texture; its content lies `right` and `down` px (arrays or numbers) from where it lies at 0, 0."""
    y, x = np.mgrid[:size, :size].astype(np.float32) + 50
    picture = cv2.remap(texture, np.float32(x - right), np.float32(y - down), cv2.INTER_CUBIC)
    return np.rint(picture).clip(0, 255).astype(np.uint8)


def clip_of(greys):
    return np.repeat(np.stack(greys)[..., None], 3, -1)


@pytest.mark.parametrize(("right", "down"), [(0.25, 0), (1, 0), (-1, 0), (0, 0.5), (0, -0.5), (0.75, -0.75)])
def test_a_translation_is_recovered(texture, right, down):
    field = farneback(moved(texture, 0, 0), moved(texture, right, down))
    assert field.shape == (2, SIZE, SIZE)
    inside = field[:, 10:-10, 10:-10]
    np.testing.assert_allclose(np.median(inside, (1, 2)), [right, down], atol=0.05)
    assert np.abs(inside - np.array([right, down])[:, None, None]).mean() < 0.1


def test_what_the_whole_picture_shares_is_taken_out_and_the_rest_stays(texture):
    still = moved(texture, 0, 0)
    together = clip_flow(clip_of([still, moved(texture, 0.5, 0)]), size=SIZE, limit=1.0)
    assert together.dtype == np.int8
    assert together.shape == (1, 2, SIZE, SIZE)
    assert abs(np.median(together[0, 0, 10:-10, 10:-10])) < 0.06 * 127
    lower = np.zeros((SIZE, SIZE))
    lower[SIZE // 2 :] = 0.5
    apart = clip_flow(clip_of([still, moved(texture, lower, 0)]), size=SIZE, limit=1.0)[0, 0, :, 10:-10] / 127
    assert np.median(apart[38:48]) - np.median(apart[8:18]) == pytest.approx(0.5, abs=0.05)
    # A quarter pixel each way, since the mean is taken out.
    assert np.median(apart[38:48]) == pytest.approx(0.25, abs=0.06)


def test_codes_are_in_steps_of_the_limit_and_clipped_there(texture):
    lower = np.zeros((SIZE, SIZE))
    lower[SIZE // 2 :] = 0.8
    clip = clip_of([moved(texture, 0, 0), moved(texture, lower, 0)])
    coarse, fine = (clip_flow(clip, size=SIZE, limit=limit).astype(int) for limit in (2.0, 1.0))
    assert np.abs(fine).max() < 127
    assert np.abs(fine - 2 * coarse).max() <= 1
    tight = clip_flow(clip, size=SIZE, limit=0.05)
    assert set(np.unique(np.abs(tight[0, 0, 42:46, 20:30]))) == {127}
    assert tight.min() == -127


def test_flow_of_a_reduced_picture_is_in_its_own_pixels(texture):
    large = cv2.resize(texture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    lower = np.zeros((2 * SIZE, 2 * SIZE))
    lower[SIZE:] = 1.0
    frames = clip_of([moved(large, 0, 0, 2 * SIZE), moved(large, lower, 0, 2 * SIZE)])
    field = clip_flow(frames, size=SIZE, limit=1.0)[0, 0, :, 10:-10] / 127
    assert np.median(field[38:48]) - np.median(field[8:18]) == pytest.approx(0.5, abs=0.05)


def test_one_frame_has_no_flow(texture):
    assert clip_flow(clip_of([moved(texture, 0, 0)]), size=SIZE, limit=1.0).shape == (0, 2, SIZE, SIZE)


def test_stacks_cover_a_sample_evenly():
    assert stack_starts(10, 10).tolist() == [0]
    assert stack_starts(11, 10).tolist() == [0, 1]
    assert stack_starts(29, 10).tolist() == [0, 10, 19]
    assert stack_starts(30, 10).tolist() == [0, 10, 20]
    for fields in range(3, 60):
        starts = stack_starts(fields, 3)
        covered = {start + k for start in starts for k in range(3)}
        assert covered == set(range(fields))
        assert len(starts) == int(np.ceil(fields / 3))


def test_the_side_that_moves_more_is_told():
    fields = np.zeros((2, 2, 4, 6), np.int8)
    assert side_speeds(fields).tolist() == [0, 0]
    fields[:, 0, :, 3:], fields[:, 1, :, 3:] = 30, 40
    fields[:, 0, :, :3] = -10
    # Lengths 50 and 10, in steps of 1 / 127.
    np.testing.assert_allclose(side_speeds(fields), [30 / 127, 40 / 60], rtol=1e-6)
    np.testing.assert_allclose(side_speeds(fields[..., ::-1]), [30 / 127, -40 / 60], rtol=1e-6)
