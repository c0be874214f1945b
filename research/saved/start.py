"""Going on: a run that starts from a saved model, on data with further interactions.

Users, items and categories keep their rows, matched by raw id and by value; new ones
have freshly drawn rows. The nets are the model's. The optimiser's moments, the sources
and the temperatures of users begin anew.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int
from numpy import ndarray

from research import rng
from research.features import (
    COLUMN_FEATURES,
    ITEM,
    USER,
    choose_features,
    static_features,
)
from research.features.content import places
from research.fields import FeatureFields, TowerFields
from research.marks import SWEPT, UNCOMPILED, marked
from research.prepare import Prepared, is_towers
from research.saved.model import SavedModel
from research.towers.inputs import HISTORY
from research.train.model import Params
from research.types import CATEGORIES, NUMBER, TEXT, Column, InputError, Table

Origins = dict[str, Int[ndarray, " n"]]  # of each row of a table: its old row, or -1


def going_on(model: SavedModel, run: Prepared) -> Prepared:
    """The run with initial parameters from the model.

    Raises:
      InputError: the run has other towers or features than the model, or its data gives
        them inputs of another width.
    """
    if not is_towers(run.config):
        raise InputError(f"model {run.config.model} has no parameters to start from")
    _check_fields(model, run)
    run = dataclasses.replace(run, initial=_initial(model, _origins(model, run)))
    world, sizes = run.world
    key = rng.root(run.config.seed)
    drawn = jax.eval_shape(lambda: run.model.init(key, sizes, world, run.config))
    for side in ("user", "item"):
        _check_shapes(side, model.params[side], drawn[side])
    for side, old in ((USER, model.users), (ITEM, model.items)):
        _check_columns(side, old, run)
    return run


def _initial(model: SavedModel, origins: Origins) -> Callable[[Params], Params]:
    def initial(drawn: Params) -> Params:
        tables = dict(drawn["tables"])
        for name, origin in origins.items():
            kept = jnp.asarray(model.params["tables"][name])[np.maximum(origin, 0)]
            tables[name] = jnp.where((origin >= 0)[:, None], kept, tables[name])
        nets = {side: jax.tree.map(jnp.asarray, model.params[side]) for side in _NETS}
        # What the loss learns is kept where both learn it.
        learned = {n: v for n, v in model.params["loss"].items() if n in drawn["loss"]}
        loss = {**drawn["loss"], **jax.tree.map(jnp.asarray, learned)}
        return {**drawn, **nets, "tables": tables, "loss": loss}

    return initial


_NETS = ("user", "item")


def _check_fields(model: SavedModel, run: Prepared) -> None:
    """Refuses towers or features that aren't the model's.

    Raises:
      InputError: the first field that differs.
    """
    free = {*marked(type(run.config), UNCOMPILED, SWEPT), "history"}
    for group in (FeatureFields, TowerFields):
        for field in dataclasses.fields(group):
            old, new = (getattr(c, field.name) for c in (model.config, run.config))
            if field.name not in free and old != new:
                raise InputError(
                    f"{field.name} is {_shown(new)}, the model to start from has "
                    f"{_shown(old)}: it can't go on with other towers"
                )


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check_shapes(side: str, old: Params, new: Params) -> None:
    """Compares a net's arrays with those that the data asks for."""
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
        for leaves, _ in (jax.tree_util.tree_flatten_with_path(n) for n in (old, new))
    ]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"the {side} tower's inputs have another width in this data than in the "
            f"model to start from: a column has other categories, or lacks values"
        )


def _check_columns(side: str, old: Table, run: Prepared) -> None:
    """Refuses columns whose numbers have the model's width and another meaning.

    Raises:
      InputError: flags of other categories, a flag of missing numbers that the model
        has for another column, or vectors that are made of other texts.
    """
    new = run.fold.fitted.table(side)
    number = COLUMN_FEATURES[NUMBER].make
    for name, feature in choose_features(side, run.fold.fitted, run.config).items():
        if not feature.kind or name not in old.columns:
            continue
        columns = old.columns[name], new.columns[name]
        reason = ""
        if feature.kind == CATEGORIES and columns[0].names != columns[1].names:
            odd = sorted({*columns[0].names} ^ {*columns[1].names})
            reason = f"has other categories ({', '.join(odd[:3])})"
        lacking = [bool(column.missing.any()) for column in columns]
        if feature.make == number and lacking[0] != lacking[1]:
            reason = f"lacks {'no ' * lacking[0]}values, other than there"
        if feature.kind == TEXT and _sorted(columns[0]) != _sorted(columns[1]):
            reason = "has other texts, and its vectors depend on all of them"
        if reason:
            raise InputError(
                f"{side} feature '{name}' {reason}: the model to start from would take "
                "its numbers for others"
            )


def _sorted(column: Column) -> list[str]:
    return sorted(column.values.tolist())


def _origins(model: SavedModel, run: Prepared) -> Origins:
    """Of each row of each embedding table: the model's row, or -1 for a new one."""
    fitted, (_, sizes) = run.fold.fitted, run.world
    for side, old in ((USER, model.users), (ITEM, model.items)):
        _check_ids(side, old, fitted.table(side))
    origins: Origins = {}
    for side, old in ((USER, model.users), (ITEM, model.items)):
        origins |= _of_side(side, old, model, run)
    if HISTORY in sizes:
        at = places(fitted.items.id, model.items.id)
        origins[HISTORY] = np.where(at < len(model.items.id), at, -1)
    for name, rows in sizes.items():  # ages of clicks, words: rows mean the same
        if name not in origins:
            origins[name] = np.arange(rows)
    return origins


def _check_ids(side: str, old: Table, new: Table) -> None:
    """Refuses ids that are numbers on one side and texts on the other: none matches."""
    kinds = ["whole numbers" if t.text is None else "texts" for t in (new, old)]
    if kinds[0] != kinds[1]:
        raise InputError(
            f"{side} ids are {kinds[0]} in this data and {kinds[1]} in the model to "
            f"start from: none would be found"
        )


def _of_side(side: str, old: Table, model: SavedModel, run: Prepared) -> Origins:
    """The old row of each row of a side's tables, or -1, matched by codes then and now.

    The users or items of both tables are compared, the data's and the model's, so that
    a category that nobody has any more keeps its row, too.
    """
    config, fitted = run.config, run.fold.fitted
    chosen = choose_features(side, fitted, config)
    # Features that read no column are made for the data's own users and items only.
    of_columns = {name: f for name, f in chosen.items() if f.kind}
    if side == USER:
        before = fitted._replace(users=old)
    else:
        before = fitted._replace(items=old)
    origins: Origins = {}
    for features, events in ((of_columns, before), (chosen, fitted)):
        now = static_features(side, features, events, config, fitted.table(side))
        then = static_features(side, features, events, config, old)
        for name, code in now.codes.items():
            rows = origins.setdefault(name, np.full(now.sizes[name], -1))
            both = (code < len(rows)) & (then.codes[name] < then.sizes[name])
            rows[code[both]] = then.codes[name][both]
    return origins
