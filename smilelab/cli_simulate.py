"""The command line's `simulate`, and how every command fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click


def fail(error: Any) -> NoReturn:
    """Say what went wrong in one line, and end with exit code 1."""
    click.echo(f"smilelab: {error}", err=True)
    sys.exit(1)


@click.command()
@click.argument("database", metavar="bbc|mmi|spos|recordings|uva-nemo|all")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--subjects",
    "people",
    multiple=True,
    metavar="N|NAME=N",
    help="Number of subjects; by default as in the real database. With all: of one of them, again for another.",
)
@click.option("--clips", type=click.IntRange(min=1), help="Number of clips; by default as many as fit the subjects.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--size", default="", metavar="WxH", help="Size of the videos; by default each database has its own.")
@click.option("--max-length", type=float, metavar="S", help="Longest clip in seconds; longer ones are made this long.")
@click.option("--length-matched", is_flag=True, help="Clip length says nothing about the class.")
@click.option("--no-asymmetry", is_flag=True, help="Left and right move alike.")
@click.option("--no-confounds", is_flag=True, help="In mmi, frame rate and size say nothing about the class.")
@click.option(
    "--cue-off",
    "cues_off",
    multiple=True,
    metavar="NAME",
    help="timing, amplitude, eyelids, cheeks, texture or asymmetry says nothing about the class; can be repeated.",
)
@click.option("--metadata-only", is_flag=True, help="Write no videos; bbc and spos hold nothing else.")
@click.option("--au-traces", is_flag=True, help="Also what a detector reads of the action units, in DIR-aus.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all cores by default.")
def simulate(
    database: str,
    folder: Path,
    people: tuple[str, ...],
    clips: int | None,
    seed: int,
    size: str,
    max_length: float | None,
    length_matched: bool,
    no_asymmetry: bool,
    no_confounds: bool,
    cues_off: tuple[str, ...],
    metadata_only: bool,
    au_traces: bool,
    jobs: int | None,
) -> None:
    """Make a simulated database in the layout of the real one, with ground truth beside it in DIR-truth.

    With all, every database gets a folder of its name in DIR.
    """
    from smilelab.simulator import databases as simulator
    from smilelab.simulator.au_traces import folder as traces_folder

    together = database == "all"
    if together and clips is not None:
        raise click.BadParameter("found it with all; expected one database, or --subjects.", param_hint="--clips")
    resolution, subjects = _size(size), _subjects(people, simulator.names() if together else [database], together)
    for name in simulator.names() if together else [database]:
        if together and metadata_only and not au_traces and not simulator.has_metadata(name):
            click.echo(f"{name}: left out, it holds no metadata")
            continue
        try:
            made = simulator.simulate(
                name,
                folder / name if together else folder,
                subjects=subjects.get(name),
                clips=clips,
                seed=seed,
                resolution=resolution,
                length_matched=length_matched,
                asymmetry=not no_asymmetry,
                max_length_s=max_length,
                confounds=not no_confounds,
                cues_off=cues_off,
                metadata_only=metadata_only,
                au_traces=au_traces,
                jobs=jobs,
            )
        except (ValueError, OSError) as error:
            fail(error)
        click.echo(f"{made}: simulated {name}{', metadata only' if metadata_only else ''}")
        if au_traces:
            click.echo(f"{traces_folder(made)}: its traces of action units")


def _subjects(given: tuple[str, ...], names: list[str], together: bool) -> dict[str, int]:
    """Number of subjects by database, of "12" for the one database or "uva-nemo=60" for one of several."""
    found = {}
    for text in given:
        name, separator, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1 or bool(separator) != together or (together and name not in names):
            expected = f"NAME=N with NAME one of {', '.join(names)}" if together else "a whole number from 1"
            raise click.BadParameter(f"found {text!r}, expected {expected}.", param_hint="--subjects")
        found[name or names[0]] = int(number)
    return found


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    width, separator, height = text.lower().partition("x")
    if not separator or not (width.isdigit() and height.isdigit()):
        raise click.BadParameter(f"found {text!r}, expected WxH such as 640x360.", param_hint="--size")
    return int(width), int(height)
