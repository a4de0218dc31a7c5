"""The command line: simulate, check, preprocess, reproduce, status, predict, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from smilelab import __version__

_HELP = """Spontaneous or posed? The companion to Lee & Lee 2020 and Yang et al. 2020.

\b
smilelab simulate uva-nemo DIR           make a simulated database in the real layout
smilelab check DIR                       what a database folder holds, and what is missing
smilelab preprocess uva-nemo DIR         videos to face crops, below data/clips
smilelab reproduce --profile smoke       run the notebooks; tables and figures go to figures/
smilelab status                          which tables and figures are made, stale or waiting
smilelab predict VIDEO...                score videos of your own
smilelab export RUN FILE                 weights of a finished run, for predict --weights FILE

A database is simulated unless you give its folder: --database uva-nemo=DIR. Profiles: smoke takes minutes, laptop under
half an hour, paper the papers' settings. Each command explains itself with --help.
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__)
def main() -> None:
    """Entry point."""


@main.command()
@click.argument("database")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--subjects", type=click.IntRange(min=1), help="Number of subjects; by default as in the real database.")
@click.option("--clips", type=click.IntRange(min=1), help="Number of clips; by default as many as fit the subjects.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--size", default="", metavar="WxH", help="Size of the videos, such as 1920x1080.  [default: 640x360]")
@click.option("--length-matched", is_flag=True, help="Clip length says nothing about the class.")
@click.option("--no-asymmetry", is_flag=True, help="Left and right move alike.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all cores by default.")
def simulate(
    database: str,
    folder: Path,
    subjects: int | None,
    clips: int | None,
    seed: int,
    size: str,
    length_matched: bool,
    no_asymmetry: bool,
    jobs: int | None,
) -> None:
    """Make a simulated DATABASE in the layout of the real one, with ground truth beside it in DIR-truth."""
    from smilelab.simulator import databases as simulator

    resolution = _size(size)
    try:
        made = simulator.simulate(
            database,
            folder,
            subjects=subjects,
            clips=clips,
            seed=seed,
            resolution=resolution,
            length_matched=length_matched,
            asymmetry=not no_asymmetry,
            jobs=jobs,
        )
    except (ValueError, OSError) as error:
        _fail(error)
    click.echo(f"{made}: simulated {database}")


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--database", "name", help="Which database it should be; recognised by default.")
def check(folder: Path, name: str | None) -> None:
    """Recognise the database in DIR and say what is complete, what is missing and what to do."""
    from smilelab import datasets

    errors = []
    for candidate in [name] if name else datasets.names():
        try:
            database = datasets.open(candidate, folder)
            folds = database.folds()
        except (ValueError, OSError) as error:
            errors.append(error)
            continue
        index, deviations = database.index(), database.deviations()
        origin = "simulated" if database.simulated else "not marked as simulated"
        click.echo(f"{folder}: {database.title} ({origin})")
        click.echo(
            f"{len(index)} clips of {index['subject'].nunique()} subjects, {int(index['label'].sum())} spontaneous"
        )
        click.echo(f"folds: {len(folds)}, {folds.source}")
        if deviations.empty:
            click.echo("All counts are as published.")
        else:
            click.echo(f"Counts that differ from the published ones:\n{deviations.to_string(index=False)}")
            click.echo("It can be used as it is; tables will say how many clips they are based on.")
        return
    _fail("\n".join(map(str, errors)))


@main.command()
@click.argument("database")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--crop", type=click.Choice(["box", "chip", "outline"]), default="box", show_default=True)
@click.option("--size", type=click.IntRange(min=16), default=48, show_default=True, help="Side of a frame in pixels.")
@click.option("--fps", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Frames per second kept.")
@click.option("--boxes", type=click.Choice(["smooth", "per-frame"]), default="smooth", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the clip stores.  [default: data/clips]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all cores by default.")
def preprocess(
    database: str, folder: Path, crop: str, size: int, fps: float, boxes: str, out: Path | None, jobs: int | None
) -> None:
    """Decode, find faces and crop every clip of DATABASE in DIR; can be stopped and goes on when run again."""
    from smilelab import datasets
    from smilelab.artifacts.study import home
    from smilelab.preprocess.build import Recipe, build

    try:
        recipe = Recipe(crop=crop, size=size, fps=fps, boxes=boxes)  # type: ignore[arg-type]  # click checked them
        store = build(datasets.open(database, folder), recipe, out or home() / "data" / "clips", jobs=jobs)
    except (ValueError, OSError) as error:
        _fail(error)
    click.echo(f"{store.path}: {len(store.usable)} of {len(store.manifest)} clips usable")


@main.command()
@click.option("--profile", default="smoke", show_default=True, help="File name in notebooks/profiles, without .yaml.")
@click.option("--only", multiple=True, metavar="NN", help="Run only this notebook; can be repeated.")
@click.option("--database", "databases", multiple=True, metavar="NAME=DIR", help="Use this copy; can be repeated.")
def reproduce(profile: str, only: tuple[str, ...], databases: tuple[str, ...]) -> None:
    """Run the notebooks of a profile; tables and figures go to figures/PROFILE."""
    from smilelab import datasets
    from smilelab.artifacts import load_makers
    from smilelab.artifacts.gallery import Gallery
    from smilelab.artifacts.study import home
    from smilelab.notebooks import NotebookError
    from smilelab.notebooks import reproduce as run

    folders = {}
    for given in databases:
        name, separator, place = given.partition("=")
        if not separator or not place:
            raise click.BadParameter(f"found {given!r}, expected NAME=DIR.", param_hint="--database")
        folders[name] = place
    try:
        for name, place in folders.items():
            datasets.open(name, place)
        run(profile, only=only, databases=folders, say=lambda line: click.echo(f"smilelab: {line}", err=True))
    except (NotebookError, ValueError, OSError) as error:
        _fail(error)
    load_makers()
    gallery = Gallery(profile, home() / "figures", home())
    made = (gallery.status()["state"] == "made").sum()
    click.echo(f"{made} artifacts in {gallery.folder}; start with index.md there.")


@main.command()
@click.option("--profile", "chosen", help="Only this profile; by default every profile with artifacts.")
def status(chosen: str | None) -> None:
    """List every table and figure of both papers: made, stale, or waiting for which runs or data."""
    from smilelab import runs
    from smilelab.artifacts import load_makers
    from smilelab.artifacts.gallery import Gallery
    from smilelab.artifacts.study import home

    load_makers()
    place = home()
    found = [path.parent.name for path in sorted((place / "figures").glob("*/manifest.json"))]
    for profile in [chosen] if chosen else found or ["smoke"]:
        click.echo(f"profile {profile}")
        for row in Gallery(profile, place / "figures", place).status().to_dict("records"):
            click.echo(f"  {row['artifact']:<16} {row['state']:<8} {row['detail']}")
    root = place / "data" / "runs"
    failed = runs.failures(root)
    click.echo(f"{len(runs.collect(root))} runs finished, {len(failed)} failed in {root}")
    for row in failed.to_dict("records"):
        click.echo(f"  {row['run']}: {row['error']}")


@main.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--weights", "weights_file", type=click.Path(path_type=Path), help="Weights exported by smilelab.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def predict(videos: tuple[str, ...], weights_file: Path | None, as_json: bool) -> None:
    """Print, for each VIDEO, the probability of a spontaneous smile, or why it cannot be scored.

    The weights that ship with smilelab were trained on simulated videos: they show that the pipeline works and are no
    evidence about real smiles. Exit code 0 when every video was scored, 2 when some could not be.
    """
    from smilelab.prediction import WeightsError, load_weights
    from smilelab.prediction import predict as score

    try:
        weights = load_weights(weights_file)
    except WeightsError as error:
        _fail(error)
    predictions = []
    for video in videos:
        predictions.append(score(video, weights))
        if not as_json:
            failed = predictions[-1].status == "failed"
            click.echo(predictions[-1].line(), err=failed)
    if as_json:
        click.echo(json.dumps([prediction.as_json() for prediction in predictions], indent=1))
    sys.exit(2 if any(prediction.status == "failed" for prediction in predictions) else 0)


@main.command()
@click.argument("run")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(run: str, file: Path) -> None:
    """Write the weights of RUN (a folder name in data/runs) to FILE, for `smilelab predict --weights FILE`."""
    from smilelab.artifacts.study import home
    from smilelab.clips import stores
    from smilelab.prediction import export_weights
    from smilelab.runs import load

    try:
        result = load(home() / "data" / "runs" / run)
        fitting = [store for store in stores(home() / "data" / "clips") if store.hash == result.spec.store]
        if not fitting:
            raise ValueError(
                f"run {run}: its clip store {result.spec.store} is not in data/clips; preprocess it again."
            )
        export_weights(result, fitting[0], file)
    except (ValueError, OSError) as error:
        _fail(error)
    click.echo(f"{file}: weights of run {run}")


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    width, separator, height = text.lower().partition("x")
    if not separator or not (width.isdigit() and height.isdigit()):
        raise click.BadParameter(f"found {text!r}, expected WxH such as 640x360.", param_hint="--size")
    return int(width), int(height)


def _fail(error: Any) -> NoReturn:
    click.echo(f"smilelab: {error}", err=True)
    sys.exit(1)
