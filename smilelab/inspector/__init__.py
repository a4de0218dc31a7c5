"""Looking inside a clip: the frame, its curves, what a network makes of it.

``inspect("smoke")`` in a notebook shows the widget on whatever the profile has preprocessed so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smilelab.artifacts.study import Study
from smilelab.inspector.album import Album, headless
from smilelab.inspector.clip import InspectionError, OpenedClip, of_store, of_video
from smilelab.inspector.shelves import Shelf, example, prepared
from smilelab.inspector.widget import Inspector
from smilelab.preprocess.recipe import Recipe

__all__ = [
    "Album",
    "InspectionError",
    "Inspector",
    "OpenedClip",
    "Shelf",
    "example",
    "inspect",
    "of_store",
    "of_video",
    "prepared",
]

_shown: list[Inspector] = []


def inspect(
    profile: str = "smoke",
    *,
    databases: Mapping[str, str] | None = None,
    simulated: Mapping[str, Mapping[str, Any]] | None = None,
    include: Sequence[str] | None = None,
    recipes: Sequence[Recipe] = (),
    jobs: int = 0,
) -> Inspector | Album:
    """Open the inspector on the clips that a profile has preprocessed.

    The inspector that was made before is closed. Nothing is simulated or preprocessed, but where there is no finished
    store at all, two clips as an example.

    Parameters
    ----------
    profile : str
        Its settings are used for what is not given.
    databases : mapping of str to str, optional
        Database name to its folder.
    simulated : mapping of str to mapping, optional
        Database name to the options it was simulated with.
    include : sequence of str, optional
        Databases.
    recipes : sequence of Recipe
        How their clips were cropped; by default the profile's, for whole clips and for windows.
    jobs : int
        Processes for the example; 0 means all cores.

    Returns
    -------
    Inspector or Album
        The album, which has pictures in place of controls, in a notebook that is executed without anybody before it.
    """
    if databases is None or simulated is None or include is None or not recipes:
        # The runner of notebooks takes seconds to import; a notebook gives everything itself.
        from smilelab.notebooks import load_profile

        told = load_profile(profile)
        databases = told["databases"] if databases is None else databases
        simulated = told["simulated"] if simulated is None else simulated
        include = told["include"] if include is None else include
        recipes = recipes or [
            Recipe(told["crop"], told["image_size"], told["sampling_fps"]),
            Recipe(told["window_crop"], told["window_size"], told["window_fps"]),
        ]
    study = Study(profile, databases=databases, simulated=simulated, recipe=recipes[0], jobs=jobs)
    shelves, faults = prepared(study, include, recipes)
    shelves = shelves or [example(study)]
    if headless():
        return Album(shelves, study.runs_root, faults=faults)
    while _shown:
        _shown.pop().close()
    _shown.append(Inspector(shelves, study.home, faults=faults))
    return _shown[0]
