"""Crops against OpenCV's, and windows that stay comparable with their anchor."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from smilelab.augmentation import augmented, crop_and_resize
from smilelab.scoring import Batch, to_input


def batch(clips: int = 8, anchors: int = 3) -> Batch:
    frames = torch.randint(0, 256, (clips, 2, 12, 12, 3), dtype=torch.uint8)
    of = torch.arange(clips) % anchors
    # The anchor of a clip is its first frame twice, so that whatever happens to both can be compared.
    frames[:, :] = frames[of][:, :1]
    return Batch(frames, torch.full((clips,), 2), frames[:anchors].clone(), of)


def test_a_crop_is_what_another_library_makes_of_it():
    frames = torch.rand(2, 3, 4, 24, 20)
    boxes = torch.tensor([[0.1, 0.25, 0.6], [0.0, 0.0, 0.9]])
    found = crop_and_resize(frames, boxes).numpy()
    for clip, (left, top, side) in enumerate(boxes.tolist()):
        # Centres of pixels: x' = (x + 1/2) side + left W - 1/2.
        matrix = np.array([[side, 0, left * 20 + (side - 1) / 2], [0, side, top * 24 + (side - 1) / 2]])
        for time in range(4):
            picture = frames[clip, :, time].permute(1, 2, 0).numpy()
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            expected = cv2.warpAffine(picture, matrix, (20, 24), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            np.testing.assert_allclose(found[clip, :, time].transpose(1, 2, 0), expected, atol=0.03)


def test_the_whole_frame_stays_itself():
    frames = torch.rand(1, 3, 2, 9, 9)
    torch.testing.assert_close(crop_and_resize(frames, torch.tensor([[0.0, 0.0, 1.0]])), frames, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("flip", "crop"), [(True, 0.0), (False, 0.3), (True, 0.3)])
def test_a_window_and_its_anchor_are_changed_alike(flip, crop):
    given = batch()
    generator = torch.Generator().manual_seed(1)
    frames, lengths, anchors, anchor_of = augmented(given, torch.device("cpu"), generator, flip=flip, crop=crop)
    assert torch.equal(lengths, given.lengths)
    torch.testing.assert_close(frames, anchors[anchor_of])
    plain = to_input(given.frames)
    changed = [not torch.allclose(a, b) for a, b in zip(frames, plain, strict=True)]
    assert any(changed)
    if not crop:
        mirrored = [torch.equal(a, b.flip(3)) for a, b in zip(frames, plain, strict=True)]
        assert mirrored == changed
        assert 0 < sum(mirrored) < len(mirrored)


def test_nothing_asked_is_nothing_done():
    given = batch()
    made = augmented(given, torch.device("cpu"), torch.Generator(), flip=False, crop=0.0)
    assert all(torch.equal(a, b) for a, b in zip(made, given.inputs(), strict=True))
