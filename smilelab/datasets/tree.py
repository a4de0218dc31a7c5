"""Finding files in copies as people keep them: other upper and lower case, hidden files, files of the system."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".m4v", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".mts", ".3gp"}
)
PICTURE_SUFFIXES = frozenset({".bmp", ".png", ".jpg", ".jpeg"})
_OF_THE_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}


def entries(folder: Path) -> list[Path]:
    """List what a person put into a folder, sorted; hidden files and those of the operating system are left out."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in _OF_THE_SYSTEM)


def videos(folder: Path) -> list[Path]:
    """List the video files of a folder, told by their names."""
    return [path for path in entries(folder) if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()]


def pictures(folder: Path) -> list[Path]:
    """List the picture files of a folder, told by their names."""
    return [path for path in entries(folder) if path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()]


def child(folder: Path, name: str) -> Path | None:
    """Find an entry of a folder by its name, in other upper and lower case where there is none in this one."""
    if (exact := folder / name).exists():
        return exact
    if not folder.is_dir():
        return None
    return next((path for path in entries(folder) if path.name.lower() == name.lower()), None)


def located(folder: Path, relative: PurePosixPath) -> Path | None:
    """Find a file below a folder, each part of its path as :func:`child` does; no part may be ``..``."""
    for part in relative.parts:
        found = child(folder, part)
        if found is None:
            return None
        folder = found
    return folder
