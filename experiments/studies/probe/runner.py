"""Many arms on one runner: which cells are measured, sharing draws and compilations."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from experiments.studies.probe.bias import (
    Drawer,
    Prepared,
    Probe,
    draw_many,
    make_drawer,
    prepare,
    probe,
)
from experiments.studies.probe.enumeration import draw_laws, enumerated, small_world
from experiments.studies.probe.estimates import Estimate
from experiments.studies.probe.forms import FORMS, form_config, form_sources
from experiments.studies.probe.gradients import Probed, probed
from experiments.studies.probe.points import ProbePoint
from research.config import Config
from research.negatives.source import Pool

__all__ = [
    "FAITHFUL",
    "SMALL",
    "ZERO",
    "Measured",
    "Measurement",
    "ProbeRunner",
    "enumerate_all",
]

FAITHFUL = "faithful"  # positives as fitted: is E[g] the exact softmax's gradient?
ZERO = "zero at truth"  # positives from the model: is E[g] zero?
SMALL = "6 items"
WIDTH = 1024


class Measurement(NamedTuple):
    """What is measured, and where.

    Attributes:
      world: "6 items" (enumerated) or the data set.
      model: "untrained", "trained", or "made" in the small world.
      library: "fitted" (items with a fitted click) or "whole".
      form: as in FORMS.
      masked: whether columns that hold the row's own positive are masked.
      drawn: "per row", or "shared" by all rows.
      n: draws a row.
      question: FAITHFUL or ZERO.
    """

    world: str
    model: str
    library: str
    form: str
    masked: bool
    drawn: str
    n: int
    question: str


Measured = tuple[Measurement, Probe]


class ProbeRunner:
    """Prepares arms once and measures them at many points."""

    def __init__(self, base: Config, pool: Pool, width: int = WIDTH) -> None:
        self._base, self._pool, self._width = base, pool, width
        self._arms: dict[tuple[str, bool, int], Prepared] = {}
        self._drawers: dict[tuple[tuple[str, ...], bool, bool], Drawer] = {}

    def measure(
        self, point: ProbePoint, cells: Sequence[Measurement], m: int
    ) -> Iterator[Measured]:
        """Yields each cell's probe; cells of one point, in any order.

        Cells that draw alike come together and see the same draws.
        """
        families: dict[tuple[tuple[str, ...], bool, bool, str], list[Measurement]] = {}
        for cell in cells:
            families.setdefault((*self._family(cell), cell.question), []).append(cell)
        for (names, own_out, shared, question), members in families.items():
            drawer = self._drawer(names, own_out, shared)
            draws = draw_many(point, drawer, m, question == ZERO)
            for cell in members:
                yield cell, probe(point, self._arm(cell), draws)

    def _family(self, cell: Measurement) -> tuple[tuple[str, ...], bool, bool]:
        form = FORMS[cell.form]
        own_out = bool(form.changes.get("leave_own_out")) and not cell.masked
        return form.sources, own_out, cell.drawn == "shared"

    def _arm(self, cell: Measurement) -> Prepared:
        key = (cell.form, cell.masked, cell.n)
        if key not in self._arms:
            arm = _probed(cell.form, cell.n, cell.masked, self._base, self._pool)
            width = self._width // len(FORMS[cell.form].sources)
            self._arms[key] = prepare(arm, width)
        return self._arms[key]

    def _drawer(self, names: tuple[str, ...], own_out: bool, shared: bool) -> Drawer:
        key = (names, own_out, shared)
        if key not in self._drawers:
            form = next(name for name, form in FORMS.items() if form.sources == names)
            widest = _probed(form, self._width, False, self._base, self._pool)
            self._drawers[key] = make_drawer(widest, shared, own_out)
        return self._drawers[key]


def _probed(name: str, n: int, masked: bool, base: Config, pool: Pool) -> Probed:
    config = form_config(name, n, masked, base)
    return probed(config, pool, form_sources(name, config))


def enumerate_all(
    sizes: Sequence[int],
    base: Config | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> list[tuple[Measurement, Estimate]]:
    """Every form on the small world by enumeration, with and without the mask.

    A form that leaves the row's own positive out draws from the rest; masked, it draws
    from everything and drops it, as training does.
    """
    worlds = small_world(True), small_world(False)
    out = []
    for name, form in FORMS.items():
        for masked in (False, True):
            for n in sizes:
                arm = _probed(name, n, masked, base or Config(), worlds[0].pool)
                own_out = arm.config.leave_own_out and not masked
                laws = draw_laws(form.sources, worlds[0], own_out)
                each = (n // len(form.sources),) * len(form.sources)
                found = enumerated(arm, each, laws, worlds)
                for question, estimate in zip((ZERO, FAITHFUL), found, strict=True):
                    cell = (SMALL, "made", "whole", name, masked, "per row", n)
                    out.append((Measurement(*cell, question), estimate))
        progress(f"enumerated {name}")
    return out
