"""Everything that the settings of a simulated database determine: who is filmed, how, and what they do.

Every subject and every clip has a generator of its own, seeded by the database's seed, the subject's code and the
clip's number: a clip is the same in whatever order and by however many processes a database is made. Only the action
units depend on the label: identity, scene and camera are drawn without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smilelab.simulator.dynamics import ClipDynamics, SubjectDynamics, draw_clip, draw_subject
from smilelab.simulator.face import FaceRenderer, draw_identity, draw_scene
from smilelab.simulator.roster import Camera, Clip, Counts
from smilelab.simulator.views import DualView, Sideways, View

__all__ = ["Layout", "Production", "Settings"]


@dataclass(frozen=True)
class Settings:
    """What the pictures depend on, and so what a rerun must share with the first run."""

    database: str
    seed: int
    subjects: int
    clips: int
    resolution: tuple[int, int]
    length_matched: bool = False
    asymmetry: bool = True
    max_length_s: float | None = None
    confounds: bool = True
    cues_off: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Production:
    """One database with its settings.

    Parameters
    ----------
    settings : Settings
    layout : Layout
    """

    settings: Settings
    layout: Layout

    def seed(self, *key: int) -> int:
        """Seed of what `key` names: (0,) the roster, (1, subject, part), (2, subject, clip number, part)."""
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=(self.layout.number, *key))
        return int(sequence.generate_state(1, np.uint64)[0])

    def rng(self, *key: int) -> np.random.Generator:
        """Return the generator of what `key` names."""
        return np.random.default_rng(self.seed(*key))

    def roster(self) -> list[Clip]:
        """Every clip of the database."""
        return self.layout.recruit(self)

    def camera(self, clip: Clip) -> Camera:
        """What a clip is filmed with."""
        return self.layout.camera(clip, self)

    def subject(self, clip: Clip) -> SubjectDynamics:
        """How the clip's subject smiles."""
        return draw_subject(self.rng(1, clip.code, 0), age=clip.age, sex=clip.sex)

    def dynamics(self, clip: Clip) -> ClipDynamics:
        """What the clip's subject does; of all parts of a clip this alone depends on its label."""
        return self.layout.dynamics(clip, self)

    def view(self, clip: Clip) -> View:
        """Who, where and how filmed. Must not look at ``clip.label``."""
        camera = self.camera(clip)
        width, height = (camera.height, camera.width) if clip.sideways else (camera.width, camera.height)
        identity = draw_identity(self.rng(1, clip.code, 1), age=clip.age, sex=clip.sex)
        scene = draw_scene(self.rng(1, clip.code, 2), domain=self.settings.database)
        near = 1 + 0.08 * self.rng(1, clip.code, 3).uniform(-1, 1)
        nearer = 1 + 0.04 * self.rng(2, clip.code, clip.number, 1).uniform(-1, 1)
        share = self.layout.iod * near * nearer
        noise = self.seed(2, clip.code, clip.number, 2)
        view: View
        if clip.view == "dual":
            view = DualView(identity, scene, width=width, height=height, iod=share, seed=noise)
        else:
            iod = share * min(width, height)
            view = FaceRenderer(identity, scene, width=width, height=height, iod_px=iod, seed=noise)
        return Sideways(view) if clip.sideways else view


def one_camera(clip: Clip, production: Production) -> Camera:
    """Film every clip alike."""
    del clip
    return Camera(*production.settings.resolution, production.layout.frame_rates[0])


def one_smile(clip: Clip, production: Production) -> ClipDynamics:
    """Draw a clip of one smile, no longer than the settings allow."""
    settings, fps = production.settings, production.camera(clip).fps
    subject = production.subject(clip)

    def drawn(length_s: float | None) -> ClipDynamics:
        return draw_clip(
            subject, clip.label, fps, production.rng(2, clip.code, clip.number, 0), length_s=length_s,
            length_matched=settings.length_matched, asymmetry=settings.asymmetry, cues_off=settings.cues_off,
        )  # fmt: skip

    dynamics, limit = drawn(None), settings.max_length_s
    return dynamics if limit is None or len(dynamics.times) <= round(limit * fps) else drawn(limit)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What sets one database apart.

    Attributes
    ----------
    number : int
        Enters every seed, so that two databases of one seed do not share their subjects.
    resolution : (int, int)
        Width and height the simulator uses by default.
    frame_rates : tuple of float
        Those that occur, in frames per second.
    iod : float
        Mean distance between the eyes over the frame's shorter side.
    counts : Counts
        Full size.
    recruit : callable
        Draws the roster.
    path : callable
        A clip's path below the root; without an ending it is a folder of pictures.
    write_metadata : callable, optional
        (root, roster, production) -> writes everything but videos. None where videos are all there is.
    camera, dynamics : callable
        (clip, production) -> what a clip is filmed with; what is done in it.
    crf : float
        Constant rate factor of its mp4 videos.
    confounds : bool
        Whether the class shows in how it was filmed, which a setting can switch off.
    """

    number: int
    resolution: tuple[int, int]
    frame_rates: tuple[float, ...]
    iod: float
    counts: Counts
    recruit: Callable[[Production], list[Clip]]
    path: Callable[[Clip], str]
    write_metadata: Callable[[Path, list[Clip], Production], None] | None = None
    camera: Callable[[Clip, Production], Camera] = one_camera
    dynamics: Callable[[Clip, Production], ClipDynamics] = one_smile
    crf: float = 18
    confounds: bool = False
