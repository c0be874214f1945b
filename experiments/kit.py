"""The kit for studies: arrays whose axes have names, and what is made from them.

A study declares the axes of its arrays once, ``AXES = {"recall": "arm seed total"}``.
``collect`` stores what it measures; records hold bare arrays in that order, and the
labels of an axis beside them under its plural ("arms", "totals"). ``Data`` reads them
back; what a study derives is again an array with names. ``tidy`` gives the table of
such arrays, ``claim`` the verdict on one, ``lines`` the panels of a figure.
"""

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from experiments.study import StudyOptions, save_measured
from research.report.intervals import Interval, over_seeds, two_way
from research.report.pages import seeds_text
from research.report.pictures import EDGE, Look, blank, styled
from research.report.predictions import FAILS, statement
from research.report.records import Stored

SEED, USER = SAMPLES = ("seed", "user")  # axes that intervals are over
# The entry of records with the labels of an axis, where it isn't the plural.
STORED = {
    "removed": "removed",
    "quality": "spreads",
    "exposure": "spreads",
    "in_loss": "lambdas",
}
Labels = dict[str, tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Named:
    """An array, and by the name of each of its axes, in their order, its labels.

    >>> gain = Named(np.array([[1.0, 2.0], [3.0, 5.0]]), {"arm": "ab", "seed": (0, 1)})
    >>> (gain - gain.at(arm="a")).mean_over("seed").at(arm="b").item()
    2.5
    """

    values: ndarray
    labels: Mapping[str, Sequence[Any]]

    def __post_init__(self) -> None:
        sizes = tuple(map(len, self.labels.values()))
        if self.values.shape != sizes:
            raise ValueError(f"shape {self.values.shape} of axes {dict(self.labels)}")

    def item(self) -> float:
        """The number of an array that has no axis left."""
        return float(self.values)

    def at(self, **where: Any) -> "Named":
        """The part at a label of an axis, or at a list of them, which keeps the axis.

        Raises:
          ValueError: no such label.
        """
        values, labels = self.values, {**self.labels}
        for name in where.keys() & labels.keys():
            axis, wanted = [*labels].index(name), where[name]
            every = [*labels[name]]
            if isinstance(wanted, list):
                index: Any = [every.index(label) for label in wanted]
                labels[name] = tuple(wanted)
            else:
                index = every.index(wanted)
                del labels[name]
            values = values[(slice(None),) * axis + (index,)]
        return Named(np.asarray(values), labels)

    def along(self, *axes: str) -> ndarray:
        """The bare array with all of its axes in this order."""
        order = [[*self.labels].index(name) for name in axes]
        return self.values.transpose(order)

    def reduce(self, axis: str, function: Callable[..., Any]) -> "Named":
        """Without an axis: by a function of NumPy, such as np.max."""
        labels = {name: each for name, each in self.labels.items() if name != axis}
        values = function(self.values, axis=[*self.labels].index(axis))
        return Named(np.asarray(values), labels)

    def mean_over(self, *axes: str) -> "Named":
        """The mean over some axes."""
        out = self
        for axis in axes:
            out = out.reduce(axis, np.mean)
        return out

    def stacked(self, axis: str, *axes: str) -> "Named":
        """With some axes as one at the end, whose labels are theirs in tuples."""
        labels = {n: each for n, each in self.labels.items() if n not in axes}
        both = tuple(itertools.product(*(self.labels[name] for name in axes)))
        shape = [*map(len, labels.values()), len(both)]
        values = self.along(*labels, *axes).reshape(shape)
        return Named(values, {**labels, axis: both})

    def map(self, function: Callable[[ndarray], ndarray]) -> "Named":
        """A function of each number."""
        return Named(function(self.values), self.labels)

    def interval(self) -> Interval:
        """The mean with its 95 % interval: over seeds, and over users if it has them.

        Without ends where some seed's number isn't finite; the mean is then inf or NaN.
        """
        if USER in self.labels:
            return Interval(*map(float, two_way(self.along(USER, SEED)).interval()))
        values = self.along(SEED)
        if not np.isfinite(values).all():
            return Interval(float(values.mean()), np.nan, np.nan)
        return over_seeds(values).interval()

    def _with(self, function: Callable[..., ndarray], other: Any) -> "Named":
        if not isinstance(other, Named):
            return Named(function(self.values, other), self.labels)
        labels = shared(self, other)
        both = (one.broadcast(labels).values for one in (self, other))
        return Named(function(*both), labels)

    def broadcast(self, labels: Mapping[str, Sequence[Any]]) -> "Named":
        """With further axes, along which nothing changes, in this order of axes."""
        own = [name for name in labels if name in self.labels]
        values = self.along(*own)
        sizes = {name: len(each) for name, each in labels.items()}
        shape = [sizes[name] if name in own else 1 for name in labels]
        whole = np.broadcast_to(values.reshape(shape), [*sizes.values()])
        return Named(whole, labels)

    __add__ = __radd__ = partialmethod(_with, operator.add)
    __sub__ = partialmethod(_with, operator.sub)
    __mul__ = __rmul__ = partialmethod(_with, operator.mul)
    __truediv__ = partialmethod(_with, operator.truediv)


def shared(*arrays: Named) -> Labels:
    """The axes of several arrays with their labels, those of the first one first.

    Raises:
      ValueError: an axis has other labels in another array.
    """
    labels: Labels = {}
    for name, each in itertools.chain(*(array.labels.items() for array in arrays)):
        if labels.setdefault(name, tuple(each)) != tuple(each):
            raise ValueError(f"axis {name}: {labels[name]} is not {tuple(each)}")
    return labels


def places(labels: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every cell of some axes, as a label of each.

    >>> [*places({"arm": ["a", "b"], "seed": [0]})]
    [{'arm': 'a', 'seed': 0}, {'arm': 'b', 'seed': 0}]
    """
    for cell in itertools.product(*labels.values()):
        yield dict(zip(labels, cell, strict=True))


def each(function: Callable[..., float], *arrays: Named, over: str = "") -> Named:
    """A function of the arrays along one axis, at each cell of their other axes.

    An array without that axis gives its number at the cell.
    """
    labels = shared(*arrays)
    labels.pop(over, None)
    found = []
    for place in places(labels):
        cells = [array.at(**place) for array in arrays]
        found.append(function(*(c.values if c.labels else c.item() for c in cells)))
    shape = [len(names) for names in labels.values()]
    return Named(np.array(found, float).reshape(shape), labels)


def joined(axis: str, parts: Mapping[Any, Named]) -> Named:
    """Arrays of the same axes as one, with a further axis at the end."""
    first = next(iter(parts.values()))
    values = [part.along(*first.labels) for part in parts.values()]
    labels = {**shared(*parts.values()), axis: tuple(parts)}
    return Named(np.stack(values, axis=-1), labels)


def tidy(found: Mapping[str, Named], over: Sequence[str] = SAMPLES) -> pd.DataFrame:
    """One row per cell of the axes that intervals aren't over: the tidy table.

    An array over those axes has three columns: its mean, and the ends of the interval
    as _low and _high. Another has one, its number at the cell.
    """
    labels: Labels = {}
    for array in found.values():
        labels |= {
            name: tuple(v) for name, v in array.labels.items() if name not in over
        }
    rows = []
    for place in places(labels):
        row = dict(place)
        for name, array in found.items():
            cell = array.at(**place)
            if cell.labels:
                row |= cell.interval().columns(name)
            else:
                row[name] = cell.values.item()
        rows.append(row)
    return pd.DataFrame(rows)


class Data(dict[str, Named]):
    """The arrays of a study by name, and the header of its records."""

    def __init__(self, header: Mapping[str, Any], arrays: Mapping[str, Named]) -> None:
        super().__init__(arrays)
        self.header = header

    @classmethod
    def of(
        cls, stored: Stored, axes: Mapping[str, str], **given: Sequence[Any]
    ) -> "Data":
        """The arrays of records, in double precision, by their declared axes.

        A declared array that the records lack is left out. Labels that aren't given
        are those stored with the arrays; an axis without any counts from 0.

        Raises:
          ValueError: an array has other axes.
        """
        named = {}
        for name in axes.keys() & stored.arrays.keys():
            values = stored.arrays[name].astype(float)
            names = axes[name].split()
            if len(names) != values.ndim:
                raise ValueError(f"{name} has {values.ndim} axes, not {axes[name]}")
            pairs = zip(names, values.shape, strict=True)
            named[name] = Named(
                values,
                {n: given.get(n) or _labels(stored, n, size) for n, size in pairs},
            )
        return cls(stored.header, {name: named[name] for name in axes if name in named})

    def labels(self, axis: str) -> tuple[Any, ...]:
        """The labels of an axis.

        Raises:
          StopIteration: no array has it.
        """
        return next(tuple(a.labels[axis]) for a in self.values() if axis in a.labels)

    def at(self, **where: Any) -> "Data":
        """The arrays at labels of axes, those without such an axis whole."""
        return Data(
            self.header, {name: array.at(**where) for name, array in self.items()}
        )


def _labels(stored: Stored, axis: str, size: int) -> tuple[Any, ...]:
    entry = STORED.get(axis, f"{axis}s")
    if entry in stored.header:
        return tuple(stored.header[entry])
    if entry in stored.arrays:
        return tuple(stored.axis(entry))  # as they were given
    return tuple(range(size))


def measured(
    options: StudyOptions,
    points: Mapping[str, Sequence[Any]],
    measure: Callable[..., tuple[Mapping[str, Any], str]],
) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """What is measured at every point and seed, each with its line of progress."""
    for place in places({**points, "seed": range(options.seeds)}):
        numbers, line = measure(**place)
        yield place, numbers
        options.progress(line)


def collect(
    options: StudyOptions,
    name: str,
    axes: Mapping[str, str],
    points: Mapping[str, Sequence[Any]],
    found: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    kind: str = "<f4",
    **about: Any,
) -> Path:
    """Stores what is found at the points of some axes; returns the records' path.

    Args:
      options: of the study.
      name: the study's.
      axes: of each array.
      points: labels of axes, which are stored with the arrays; seeds count themselves.
      found: a point, and the numbers or arrays measured there, whose own axes are
        those of ``axes`` that the point doesn't have.
      kind: the type of the numbers.
      about: further entries of the header.
    """
    arrays: dict[str, ndarray] = {}
    every = {"seed": range(options.seeds), **points}
    for point, measured in found:
        for what, values in measured.items():
            names = axes[what].split()
            own = iter(np.shape(values))
            shape = [len(every[n]) if n in point else next(own) for n in names]
            whole = arrays.setdefault(what, np.zeros(shape, kind))
            whole[tuple(
                [*every[n]].index(point[n]) if n in point else slice(None)
                for n in names
            )] = values  # fmt: skip
    for axis, labels in points.items():
        entry = STORED.get(axis, f"{axis}s")
        if isinstance(labels[0], str):
            about[entry] = list(labels)
        else:
            arrays[entry] = np.array(labels, "<f4")
    return save_measured(options, name, arrays, **about)


def claim(
    text: str,
    values: Named | Interval,
    low: float = -np.inf,
    high: float = np.inf,
    form: str = "+.3f",
) -> list[str]:
    """A statement that the mean over seeds lies between two numbers, and its verdict.

    It fails where a seed has no such value.
    """
    if isinstance(values, Named):
        if lacking := int((~np.isfinite(values.values)).sum()):
            return [
                text,
                f"no value in {lacking} of {seeds_text(values.values.size)}",
                FAILS,
            ]
        values = values.interval()
    return statement(text, values, low, high, form)


@styled
def lines(
    points: pd.DataFrame,
    columns: tuple[str, str, str],
    style: Callable[[Any], Look],
    labels: tuple[str, str],
    *,
    facet: str = "",
    row: str = "",
    height: float = 3.9,
    sharey: Any = True,
    name: Callable[[Any], str] = str,
    **marks: Any,
) -> tuple[Figure, dict[Any, Axes]]:
    """Draws y by x: a panel for each facet, in it a line for each colour.

    Columns are those of x, of y and of the colour. Where points have the ends of
    intervals (y_low and y_high), a band is behind the line. The labels are of x and of
    y; a row of panels has its own one.

    Returns:
      the figure, and its panels by facet; by row and facet where there are rows.
    """
    facets = list(dict.fromkeys(points[facet])) if facet else [""]
    rows = list(dict.fromkeys(points[row])) if row else [""]
    shape: Any = {"nrows": len(rows), "ncols": len(facets), "squeeze": False}
    figure, axes = blank(height, **shape, sharex=bool(row), sharey=sharey)
    panels = {}
    for (r, in_row), (c, place) in itertools.product(
        enumerate(rows), enumerate(facets)
    ):
        panel = panels[(in_row, place) if row else place] = axes[r, c]
        part = points[points[facet] == place] if facet else points
        part = part[part[row] == in_row] if row else part
        draw(panel, part, columns, style, name, **marks)
        if r == len(rows) - 1:
            panel.set_xlabel(labels[0])
        if c == 0:
            panel.set_ylabel(in_row or labels[1])
    return figure, panels


def draw(
    panel: Axes,
    points: pd.DataFrame,
    columns: tuple[str, str, str],
    style: Callable[[Any], Look],
    name: Callable[[Any], str] = str,
    **marks: Any,
) -> None:
    """Draws a line for each colour on a panel, with its band where it has one."""
    x, y, colour = columns
    for label, line in points.groupby(colour, sort=False):
        look = style(label)
        shown = {"marker": look.marker, "ms": 4, **EDGE, **marks}
        panel.plot(line[x], line[y], color=look.colour, label=name(label), **shown)
        if f"{y}_low" in line:
            ends = line[f"{y}_low"], line[f"{y}_high"]
            panel.fill_between(line[x], *ends, color=look.colour, alpha=0.15, lw=0)
