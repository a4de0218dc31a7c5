"""Videos to preprocess: rendered faces, and files that are broken in known ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_recordings import Person, film
from sample_videos import FPS, Rendered, blank, render

from smilelab.preprocess import video


@pytest.fixture(scope="session")
def person() -> Rendered:
    return render(3, seconds=2.0)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, person: Rendered) -> dict[str, Path]:
    """One file of each kind, by name."""
    folder = tmp_path_factory.mktemp("videos")
    names = ("face", "other", "gone", "blank", "short", "html", "empty", "cut")
    paths = {name: folder / f"{name}.mp4" for name in names}
    video.write(paths["face"], person.images, FPS)
    video.write(paths["other"], render(4, seconds=1.2).images, FPS)
    video.write(paths["gone"], person.images[:25] + blank(30), FPS)
    video.write(paths["blank"], blank(20), FPS)
    video.write(paths["short"], person.images[:1], FPS)
    paths["html"].write_text("<!DOCTYPE html><html><body>Sign in to download</body></html>")
    paths["empty"].write_bytes(b"")
    paths["cut"].write_bytes(paths["face"].read_bytes()[: paths["face"].stat().st_size // 2])
    return paths


@pytest.fixture(scope="session")
def person_on_film(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """One smile of three seconds, filmed; beside it ``neutral.mp4``, the same person at rest."""
    folder = tmp_path_factory.mktemp("film")
    film(folder / "neutral.mp4", 6, seconds=3.0, rest=True)
    return film(folder / "smile.mp4", 6, seconds=3.0)
