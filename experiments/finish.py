"""Finishing runs under a display, and a grid from its cells to its files."""

from collections.abc import Sequence
from pathlib import Path

from experiments.collect import collect, gathered, report
from experiments.engine import EngineOptions
from experiments.engine.display import beside_committed, display
from experiments.engine.local import cores, run_here, run_in_workers
from experiments.folders import writable
from experiments.grid import Cell, Grid
from experiments.index import write_index
from experiments.inputs import digest_of, fold_of
from experiments.lists import gather_lists
from experiments.plan import Run, plan
from research.config import Config
from research.report.pages import read_table

AT_ONCE = 8  # on an accelerator; no accelerator was at hand to measure what is best


def announce(grid: str, runs: int, to_do: int) -> None:
    """Says how many runs there are, and how many of them are still to be done."""
    if to_do:
        print(f"{grid}: {runs} runs, {runs - to_do} finished already, {to_do} to do")
    else:
        print(f"{grid}: all {runs} runs are finished already, nothing to train")


def finish(
    runs: Sequence[Run],
    data_dir: str | None,
    jobs: int | None,
    at_once: int | None = None,
) -> int:
    """Does the runs under a display.

    Args:
      runs: those with something missing.
      data_dir: as on the command line.
      jobs: worker processes; None for one per core, 1 for this process.
      at_once: runs alike that one program trains.

    Returns:
      How many failed.
    """
    import jax

    workers = len(cores()) if jobs is None else jobs
    on_cpu = jax.default_backend() == "cpu"
    at_once = at_once or (1 if on_cpu else AT_ONCE)
    if at_once > 1 or not on_cpu:
        workers = 1
    with display(len(runs)) as shown:
        if workers == 1:
            run_here(list(runs), data_dir, shown.finished, shown.running, at_once)
        else:
            run_in_workers(list(runs), data_dir, shown.finished, shown.running, workers)
        return shown.failed


def finish_grid(
    grid: Grid,
    base: Config,
    cells: list[Cell],
    out: Path,
    data_dir: str | None,
    quick: bool,
    engine: EngineOptions,
    committed: Path | None,
) -> bool:
    """Trains what is missing of a grid, then writes its records, tables and figures.

    Args:
      grid: the grid.
      base: what all its runs share.
      cells: those asked for.
      out: output folder.
      data_dir: as on the command line.
      quick: whether it is a smoke run, whose numbers are no results.
      engine: what runs the runs.
      committed: a table to print the results beside, where it is there.

    Returns:
      Whether every run is finished.
    """
    cells, runs, total = plan(cells, grid.name, out, data_dir)
    writable(out)
    announce(grid.name, total, len(runs))
    if engine.engine == "ray":
        failed = _finish_on_ray(runs, data_dir, engine.ray_address)
    else:
        failed = finish(runs, data_dir, engine.jobs, engine.at_once)
    write_index(out)
    digest = digest_of(cells[0].config, data_dir)
    users = fold_of(cells[0].config, data_dir).fitted.n_users
    whole = gathered(grid, base, cells, out, data_dir, digest, quick)
    path, results, ignored = collect(grid, whole, out, digest, quick, users)
    gather_lists(whole, grid.name, out, digest, path)
    frame, written = report(grid, path, out)
    if ignored:
        print(f"{ignored} other runs in the grid's folder were ignored")
    done = {result.arm for result in results if result.record is not None}
    if grid.reference not in done:
        print(
            f"no differences: the reference {grid.reference} has no finished run here"
        )
    print(*(f"wrote {name}" for name in written), sep="\n")
    if quick:
        print("a quick run: its numbers are no results, and aren't compared")
    elif committed is not None and committed.is_file():
        beside_committed(frame, read_table(committed))
    asked = {(cell.arm, repr(cell.swept), cell.seed) for cell in cells}
    missing = [r for r in results if r.record is None]
    return not failed and not any(
        (r.arm, repr(r.swept), r.seed) in asked for r in missing
    )


def _finish_on_ray(runs: list[Run], data_dir: str | None, address: str | None) -> int:
    """Does the runs on a Ray cluster; returns how many failed."""
    from experiments.engine.ray import run_on_ray

    with display(len(runs)) as shown:
        if runs:
            run_on_ray(runs, data_dir, shown.finished, shown.running, address)
        return shown.failed
