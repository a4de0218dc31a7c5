"""Intensities of AU06 and AU12 over time: read from OpenFace 2, or estimated from landmarks and cheek texture."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smilelab import signals
from smilelab.preprocess import video
from smilelab.preprocess.crops import Image, resample, smooth
from smilelab.preprocess.faces import FaceTracker
from smilelab.preprocess.tracks import FaceTrack

__all__ = [
    "CONFIDENCE",
    "ActionUnitError",
    "ActionUnits",
    "Measures",
    "as_numbers",
    "cheek_contrast",
    "estimate",
    "measure",
    "read_openface",
    "read_text_table",
]

Array = NDArray[np.float64]

OPENFACE_COLUMNS = ("timestamp", "confidence", "success", "AU06_r", "AU12_r", "AU12_c")
_WANTED = (*OPENFACE_COLUMNS, "face_id")
_IN_EVERY_FRAME = ("timestamp", "success", "confidence")
CONFIDENCE = 0.8  # our choice

# A full smile moves each corner by 14 mm, up and outwards at 40 degrees (Paletz, Manktelow & Chaban 1994), where the
# pupils are 63 mm apart (Dodgson 2004); the full movement is FACS' maximum, 5.
_FULL_SMILE = 14 / 63
_RISE = np.deg2rad(40)
# Of the contrast of furrows, one fifth more is about the least step that is seen (Legge & Foley 1980), and FACS' 1 is
# the least that is seen.
_VISIBLE_STEP = np.log(1.2)
_QUIET_SHARE = 0.25  # of the way from the narrowest mouth to the widest: half of it would be a weak smile already
_SMOOTHING_S = 0.1  # a quarter of the onset of a quick smile, 0.4 s, and three frames of most cameras

# The skin between lower lid and cheek bone, of each eye: places in distances between the eye centres. Furrows there are
# one to three millimetres wide, which is the band of detail that is kept.
_CHEEK_SIDE, _CHEEK_PX = 0.4, 32
_CHEEK_OUT, _CHEEK_DOWN = 0.56, 0.33
_FINE_PX, _COARSE_PX = 1.0, 4.0


class ActionUnitError(ValueError):
    """A recording has no face, or a file is not an OpenFace table; the message says which and what was expected."""


@dataclass(frozen=True, eq=False)
class ActionUnits:
    """Two action units over time.

    Attributes
    ----------
    times : (T,) float64
        Seconds from the first frame of the video, increasing.
    au06, au12 : (T,) float64
        Intensities from 0 (absent) to 5 (maximal); NaN where there is no face.
    valid : (T,) bool
        Whether the frame can be relied on.
    source : str
        "openface", "traces" or "estimate".
    lip : (T,) float64, optional
        The lip-corner signal, for the phases of smiles; without it AU12 serves.
    present : (T,) bool, optional
        A detector's own verdict, frame by frame, that AU12 occurs.
    """

    times: Array
    au06: Array
    au12: Array
    valid: NDArray[np.bool_]
    source: str
    lip: Array | None = None
    present: NDArray[np.bool_] | None = None

    @property
    def lip_signal(self) -> Array:
        """(T,) lip-corner signal, or AU12; NaN in frames that are not valid."""
        return np.where(self.valid, self.au12 if self.lip is None else self.lip, np.nan)


@dataclass(frozen=True, eq=False)
class Measures:
    """What is measured in each frame of a recording, relative to nothing yet.

    Attributes
    ----------
    times : (T,) float64
        Seconds from the first frame of the video, increasing.
    landmarks : (T, 68, 2) float32
        dlib's points, px; NaN where there is no face.
    cheeks : (T, 2) float32
        Contrast of furrows under the subject's right and left eye: standard deviation over mean of the brightness.
    warning : str
        Empty, or why the recording ends early.
    """

    times: Array
    landmarks: NDArray[np.float32]
    cheeks: NDArray[np.float32]
    warning: str = ""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(T,) bool: frames with a face."""
        return np.isfinite(self.landmarks[:, 0, 0]) & np.isfinite(self.cheeks).all(1)


def read_openface(path: str | os.PathLike[str]) -> ActionUnits:
    """Read the table that OpenFace 2's FeatureExtraction writes for a video.

    Parameters
    ----------
    path : path-like
        A CSV with the columns ``timestamp``, ``confidence``, ``success``, ``AU06_r``, ``AU12_r`` and ``AU12_c``, and
        any others; blanks around names do not matter. Of several ``face_id`` the one seen in most frames is taken.

    Returns
    -------
    ActionUnits
        Frames that failed, or with a confidence below 0.8, are not valid. ``AU12_c`` becomes `present`.

    Raises
    ------
    ActionUnitError
        If the file is no such table: not text, empty, without one of the columns, with a cell that is no number, or
        with times that do not increase.

    Source: Baltrusaitis et al. 2018, OpenFace 2.0; used by Lee & Lee 2020, section 3.2.1.
    """
    path = Path(path)
    table = read_text_table(path, OPENFACE_COLUMNS)
    numbers = pd.DataFrame({name: as_numbers(table[name]) for name in table if name in _WANTED})
    failed = numbers["success"].to_numpy() == 0
    for name in OPENFACE_COLUMNS:
        faulty = np.flatnonzero(~np.isfinite(numbers[name].to_numpy()) & ~(failed & (name not in _IN_EVERY_FRAME)))
        if len(faulty):
            raise ActionUnitError(
                f"{path}: row {faulty[0] + 2}: {name} is {table[name].iloc[faulty[0]]!r}, expected a number. "
                "Run OpenFace's FeatureExtraction on the video again."
            )
    if "face_id" in numbers:
        seen = numbers.loc[~failed, "face_id"].value_counts(sort=False)
        if len(seen):
            numbers = numbers[numbers["face_id"] == seen.idxmax()]
    times = numbers["timestamp"].to_numpy(np.float64)
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        row = int(numbers.index[back[0] + 1]) + 2
        raise ActionUnitError(
            f"{path}: row {row}: timestamp {times[back[0] + 1]:g} follows {times[back[0]]:g}, expected times that "
            "increase. Is it one table of one video?"
        )
    au06, au12 = (numbers[name].to_numpy(np.float64) for name in ("AU06_r", "AU12_r"))
    reliable = (numbers["success"].to_numpy() == 1) & (numbers["confidence"].to_numpy() >= CONFIDENCE)
    valid = reliable & np.isfinite(au06) & np.isfinite(au12)
    present = valid & (numbers["AU12_c"].to_numpy() == 1)
    return ActionUnits(times, np.clip(au06, 0, 5), np.clip(au12, 0, 5), valid, "openface", present=present)


def read_text_table(
    path: Path,
    required: Sequence[str],
    advice: str = "Expected the CSV that OpenFace 2's FeatureExtraction writes with -aus.",
) -> pd.DataFrame:
    """Read a detector's table of comma-separated values, every cell as text.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that must be there; blanks around names do not matter.
    advice : str
        What the file should be, for messages.

    Returns
    -------
    pandas.DataFrame
        A row a frame.

    Raises
    ------
    ActionUnitError
        If it is no such table, or has no row.
    """
    try:
        with warnings.catch_warnings():
            # Rows longer than the heading, of which pandas would drop the rest.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except FileNotFoundError:
        raise ActionUnitError(f"{path}: no such file. {advice}") from None
    except OSError as error:
        raise ActionUnitError(f"{path}: cannot be read ({error.strerror}). {advice}") from None
    except pd.errors.EmptyDataError:
        raise ActionUnitError(f"{path}: the file is empty. {advice}") from None
    except (ValueError, pd.errors.ParserWarning):
        raise ActionUnitError(f"{path}: found no table of comma-separated values. {advice}") from None
    table.columns = table.columns.str.strip()
    missing = [name for name in required if name not in table.columns]
    if missing:
        found = ", ".join(repr(name[:20]) for name in table.columns[:4])
        raise ActionUnitError(f"{path}: has no column {', '.join(missing)}; found {found}, ... {advice}")
    if table.empty:
        raise ActionUnitError(f"{path}: has a heading and no frame. {advice}")
    return table


def as_numbers(cells: pd.Series) -> Array:
    """Cells as numbers; NaN where they are none, which for failed frames OpenFace spells in several ways."""
    return np.asarray(pd.to_numeric(cells.str.strip(), errors="coerce"), np.float64)


def measure(
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Measures:
    """Follow the largest face through a video and measure it in each frame, in one pass.

    Parameters
    ----------
    path : path-like
        The video.
    fps : float, optional
        Frames per second looked at; None takes every frame.
    start_s, end_s : float, optional
        Part of the video, s from its first frame; None and NaN mean open.

    Returns
    -------
    Measures

    Raises
    ------
    smilelab.preprocess.video.VideoError
        If the video cannot be decoded.
    ActionUnitError
        If no frame shows a face.
    """
    tracker = FaceTracker()
    sightings, cheeks = [], []
    nothing = np.empty((0, 0, 3), np.uint8)
    with video.read(path, fps=fps, start_s=start_s, end_s=end_s) as source:
        for sighting in tracker.follow(_once(source)):
            cheeks.append(cheek_contrast(sighting.image, sighting.landmarks))
            sightings.append(sighting._replace(image=nothing))
    track = FaceTrack.assemble(sightings)
    if not track.usable.any():
        found = f"no face in {len(track.times)} frames" if len(track.times) else "no frame in the part asked for"
        raise ActionUnitError(f"{Path(path).name}: {found}. {source.warning}".rstrip())
    contrast = np.array(cheeks, np.float64).reshape(-1, 2)
    for side in contrast.T:
        side[track.bridged] = np.interp(track.times[track.bridged], track.times[track.detected], side[track.detected])
    return Measures(track.times, track.landmarks, contrast.astype(np.float32), source.warning)


def estimate(measures: Measures, neutral: Measures | None = None) -> ActionUnits:
    """Estimate AU06 and AU12 relative to the subject's neutral face.

    AU12 is how far the lip corners have moved along the pull of zygomaticus major; AU06 is how much the contrast of the
    furrows under the eyes has grown. Both scales are anatomical constants, the same for every subject and class.

    Parameters
    ----------
    measures : Measures
        Of the recording.
    neutral : Measures, optional
        Of the subject's neutral recording. Without it the recording's own quiet part takes its place: the frames in
        which the mouth is narrower than a quarter of the way from its narrowest to its widest.

    Returns
    -------
    ActionUnits

    Source: our choice, after the description of AU06 and AU12 in Ekman, Friesen & Hager 2002, Facial Action Coding
    System; relative to neutral as Lee & Lee 2020, section 3.3, argue for their network.
    """
    rest, quiet = (measures, _quiet(measures)) if neutral is None else (neutral, neutral.valid)
    rest_face = np.median(signals.face_coordinates(rest.landmarks[quiet]), axis=0)
    rest_cheeks = np.median(np.log(rest.cheeks[quiet]), axis=0)

    valid = measures.valid
    corners = list(signals.LIP_CORNERS)
    moved = signals.face_coordinates(measures.landmarks[valid])[:, corners] - rest_face[corners]
    pull = np.array([[-np.cos(_RISE), -np.sin(_RISE)], [np.cos(_RISE), -np.sin(_RISE)]])
    au12 = 5 * (moved * pull).sum(-1).mean(-1) / _FULL_SMILE
    au06 = (np.log(measures.cheeks[valid]) - rest_cheeks).mean(-1) / _VISIBLE_STEP

    units = np.full((len(valid), 2), np.nan)
    units[valid] = np.clip(smooth(measures.times[valid], np.stack([au06, au12], 1), _SMOOTHING_S), 0, 5)
    lip = signals.lip_corner_distance(measures.landmarks, rest_face)
    return ActionUnits(measures.times, units[:, 0], units[:, 1], valid, "estimate", lip)


def _once(frames: Iterable[video.Frame]) -> Iterator[video.Frame]:
    """Leave out frames that are repeated because the grid is finer than the video."""
    last = -np.inf
    for frame in frames:
        if frame.time > last:
            yield frame
        last = frame.time


def _quiet(measures: Measures) -> NDArray[np.bool_]:
    width = signals.mouth_width(measures.landmarks)
    low, high = np.percentile(width[measures.valid], [5, 95])
    return measures.valid & (np.nan_to_num(width, nan=np.inf) <= low + _QUIET_SHARE * (high - low))


def cheek_contrast(image: Image, landmarks: NDArray[np.floating] | None) -> list[float]:
    """Contrast of the fine furrows between lower lid and cheek bone.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        The upright frame.
    landmarks : (68, 2) array or None
        Px; None where there is no face.

    Returns
    -------
    list of float
        Beside the subject's right eye and the left one; NaN without a face.

    Source: our choice, see `estimate`.
    """
    if landmarks is None:
        return [np.nan, np.nan]
    right, left = signals.eye_centres(landmarks)
    across, middle = left - right, (left + right) / 2
    down = np.array([-across[1], across[0]])
    step = _CHEEK_SIDE / _CHEEK_PX
    corners = (
        middle + (out - _CHEEK_SIDE / 2) * across + (_CHEEK_DOWN - _CHEEK_SIDE / 2) * down
        for out in (-_CHEEK_OUT, _CHEEK_OUT)
    )
    maps = (np.column_stack([step * across, step * down, corner]) for corner in corners)
    return [_contrast(resample(image, to_source, _CHEEK_PX)) for to_source in maps]


def _contrast(patch: Image) -> float:
    bright = patch.astype(np.float64).mean(-1)
    detail = cv2.GaussianBlur(bright, (0, 0), _FINE_PX) - cv2.GaussianBlur(bright, (0, 0), _COARSE_PX)
    # A flat patch has no logarithm; one part in a thousand is less than the camera's own noise.
    return max(float(detail.std()) / max(float(bright.mean()), 1.0), 1e-3)
