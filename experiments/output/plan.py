"""From the cells of a grid to the runs that are still to be done."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from experiments.loaded import Start, digest_of, fold_of, prepared_run
from experiments.output.code import code_of
from experiments.output.folders import (
    id_of,
    run_id,
    serving_folder,
)
from experiments.output.seals import ABSENT, OTHER_CODE, check_version, why_unfinished
from experiments.resolve import Cell
from research.baselines import BASELINES
from research.config import Config, compile_key
from research.data import name_of
from research.notices import say
from research.prepare import is_towers
from research.saved.files import holds
from research.serving import AS_TRAINED, Serving
from research.types import InputError


class Run(NamedTuple):
    """A run to do.

    Attributes:
      config: with the serving fields at their defaults.
      servings: how to serve it; a model that is saved has the first one.
      folder: of its files.
      name: for messages: arm, swept values, seed.
      devices: how many share each batch (research/train/mesh.py).
      arms: the arm that asks for each serving.
      start: the saved model that it starts from.
      save: folder to save its model to, for which even a finished run is trained.
    """

    config: Config
    servings: tuple[Serving, ...]
    folder: Path
    name: str
    devices: int = 1
    arms: Mapping[Serving, str] = {}
    start: Start | None = None
    save: Path | None = None

    @property
    def shape(self) -> Config:
        """Runs of one shape share a compilation."""
        return compile_key(self.config)


def locate(
    cell: Cell, grid: str, out: Path, digest: str, start: Start | None = None
) -> tuple[str, Path]:
    """The id of a prepared cell's run, and the folder it is or will be in."""
    identity = run_id(cell.config, digest, start.digest if start else "")
    return identity, _run_folder(_of_grid(cell, grid, out), identity, label(cell))


def _of_grid(cell: Cell, grid: str, out: Path) -> Path:
    """The folder of the runs of a grid on the cell's data set."""
    return out / "runs" / name_of(cell.config.dataset) / grid


def _run_folder(of_grid: Path, identity: str, name: str) -> Path:
    """A run's folder: one where it is finished or begun, else a new one.

    A folder is named after its run's label and ends in the id, by which it is found.

    Raises:
      InputError: another RECORDS_VERSION wrote it.
    """
    found = _run_folders(of_grid, identity)
    for folder in found:
        check_version(folder)
        if not why_unfinished(folder):
            return folder
    if found and found[0].parent == of_grid:
        return found[0]
    plain = re.sub(r"[^A-Za-z0-9+.=_]+", "-", name)
    return of_grid / "-".join(filter(None, (plain, identity)))


def _run_folders(of_grid: Path, identity: str) -> list[Path]:
    """Every folder of the run with that id, those of the grid first."""
    begun = sorted(of_grid.glob(f"*{identity}"))
    others = sorted(of_grid.parent.glob(f"*/*{identity}"))
    return list(dict.fromkeys([*begun, *others]))


def check_devices(config: Config, devices: int) -> None:
    """Checks that so many devices can share the run's batches."""
    from research.train.mesh import placement_over

    if devices != 1 and not is_towers(config):
        raise InputError(f"devices is {devices}: model {config.model} uses only one")
    placement_over(devices, config.batch)


def _prepared(
    cells: list[Cell], data_dir: str | None, start: Start | None
) -> list[Cell]:
    """The cells with their runs' configs."""
    prepared: list[Cell] = []
    refused: dict[str, InputError] = {}
    for cell in cells:
        fold_of(cell.config, data_dir)  # outside of try: faulty data concerns all arms
        try:
            run = prepared_run(cell.config, data_dir, start)
        except InputError as error:
            refused.setdefault(cell.arm, error)
        else:
            prepared.append(cell._replace(config=run.config))
    if refused:
        first = next(iter(refused.values()))
        arms = [arm for arm, error in refused.items() if str(error) == str(first)]
        if len(arms) == len({cell.arm for cell in cells}):
            raise first
        noun = "arm" if len(arms) == 1 else "arms"
        raise InputError(f"{noun} {', '.join(arms)}: {first}")
    return prepared


def plan(
    cells: list[Cell],
    grid: str,
    out: Path,
    data_dir: str | None,
    start: Start | None = None,
) -> tuple[list[Cell], list[Run], int]:
    """The runs to be done for the cells of a grid.

    Prints which finished runs are done again, as their files are damaged or other code
    made them.

    Returns:
      the cells with their configs prepared; the runs with something missing; the
      number of all runs, finished ones included.
    """
    prepared = _prepared(cells, data_dir, start)
    wanted: dict[str, dict[Serving, Cell]] = {}
    for cell in prepared:
        digest = digest_of(cell.config, data_dir)
        identity = run_id(cell.config, digest, start.digest if start else "")
        wanted.setdefault(identity, {})[Serving.of(cell.config)] = cell
    runs, unused = [], []
    for identity, by_serving in wanted.items():
        cell = next(iter(by_serving.values()))
        of_grid, name = _of_grid(cell, grid, out), label(cell)
        folder = _run_folder(of_grid, identity, name)
        missing = [s for s, c in by_serving.items() if why_unfinished(folder, c.config)]
        if missing:
            # Without metrics.json the run isn't finished, and is due as trained, too.
            due = [AS_TRAINED] if why_unfinished(folder) else []
            servings = tuple(dict.fromkeys([*due, *missing]))
            base = AS_TRAINED.put_into(cell.config)
            arms = {serving: cell.arm for serving, cell in by_serving.items()}
            runs.append(Run(base, servings, folder, name, arms=arms, start=start))
            unused.append(_unused(of_grid, identity, base, servings))
    for line in (line for lines in unused for line in lines if line != OTHER_CODE):
        say(line)
    if others := sum(OTHER_CODE in lines for lines in unused):
        noun = "run was" if others == 1 else "runs were"
        say(f"{others} finished {noun} made by other code: done again")
    return prepared, runs, len(wanted)


def still_due(run: Run) -> Run | None:
    """The part of a run that no other process has done meanwhile; None if all is.

    All of a run is due while its model isn't saved.
    """
    folder = _run_folder(run.folder.parent, id_of(run.folder), run.name)
    missing = tuple(
        s for s in run.servings if why_unfinished(folder, s.put_into(run.config))
    )
    if run.save is not None:
        code = code_of(dataclasses.asdict(run.config))
        saved = holds(run.save, folder.name, code, run.servings[0])
        return None if saved and not missing else run
    return run._replace(folder=folder, servings=missing) if missing else None


def _unused(
    of_grid: Path, identity: str, config: Config, servings: tuple[Serving, ...]
) -> list[str]:
    """Why existing files of a run aren't used: OTHER_CODE, lines on damage."""
    lines = []
    for folder in _run_folders(of_grid, identity):
        for serving in sorted({AS_TRAINED, *servings}):
            where = serving_folder(folder, serving.put_into(config))
            reason = why_unfinished(where)
            if reason == OTHER_CODE:
                lines.append(reason)
            elif reason not in ("", ABSENT):
                lines.append(f"{where}: {reason}: done again")
    return lines


def is_seeded(config: Config) -> bool:
    """Whether a run of a config depends on its seed."""
    return is_towers(config) or BASELINES.choose(config.model).seeded


def label(cell: Cell) -> str:
    """A run's name in messages and folders: arm, swept values, seed."""
    swept = [f"{name} {value:g}" for name, value in cell.swept.items()]
    seed = [f"seed {cell.seed}"] if is_seeded(cell.config) else []
    return " ".join([cell.arm, *swept, *seed])
