"""Search words that a user typed before a click, as an input of the user tower.

MovieLens has no searches, so they are simulated from the target itself: words of its
title and genres, some of them replaced. Such words reveal the target: results show what
a tower makes of a query of that quality, and don't estimate a search engine. Real
queries are read from a file.

A word's row in the embedding table is a hash of its letters, so that no vocabulary has
to be fitted. Row 0 stands for no word.
"""

import functools
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64
from numpy import ndarray

from research.config import Config
from research.data.delimited import malformed, new_id, open_table, whole_table
from research.data.places import Place
from research.entries import NO_VALUES, Value, read
from research.features.content import stamped, unstamped
from research.marks import UNCOMPILED, Range
from research.notices import say
from research.registry import Registry, entry_name
from research.rng import WORDS_SALT, pair_hash, splitmix64
from research.types import CATEGORIES, TEXT, Events, Fold, InputError, Table

COLUMNS = ["user", "item", "query"]


@functools.lru_cache(maxsize=2)
def read_searches(
    name: str, texts: tuple[bool, bool] = (False, False)
) -> dict[tuple[int | str, ...], str]:
    """The query of each (user, item), by the data set's own ids.

    A comma-separated file in UTF-8 whose header begins with user, item and query;
    further columns are ignored, and so are pairs that aren't positives.

    Raises:
      InputError: a column that is missing, a row with more or fewer fields, an id that
        isn't a whole number below 2**31, a pair with two queries, or a file that isn't
        text; the message names file and line.
    """
    path = unstamped(name)
    queries: dict[tuple[int | str, ...], str] = {}
    table = open_table(Place(path.parent), path.name, ",").require(COLUMNS)
    for where, fields in whole_table(table, COLUMNS, empty=True):
        pair = tuple(
            field if is_text else new_id(where, kind, field.strip(), ())
            for field, is_text, kind in zip(fields, texts, ("a user id", "an item id"))
        )
        if pair in queries:
            raise malformed(where, "a pair not seen before", ",".join(fields[:2]))
        queries[pair] = fields[2].strip()
    return queries


class Search(NamedTuple):
    """Where the words of searches come from: its own values."""

    values: Mapping[str, Value] = NO_VALUES


NO_SEARCH, SIMULATED = "none", "simulated"
# words: per search; noise: the probability that a word is one of any item
_WORDS = Value(4, Range(1, 1024), UNCOMPILED)
_NOISE = Value(0.5, Range(0.0, 1.0), UNCOMPILED)
SEARCHES = Registry(
    "search",
    {
        NO_SEARCH: Search(),
        SIMULATED: Search({"words": _WORDS, "noise": _NOISE}),
        "file": Search({"path": Value("", role=UNCOMPILED), "words": _WORDS}),
    },
)


def words_per_search(config: Config) -> int:
    """The number of words of each search, 0 where there are none."""
    return int(read(config.search, SEARCHES).values.get("words", 0))


def search_file(config: Config) -> str:
    """The file of queries, with its stamp where it has one; "" without."""
    return str(read(config.search, SEARCHES).values.get("path", ""))


VOCABULARY = 8192  # rows; the titles of MovieLens 100K have 2,100 different words


def word_rows(text: str) -> list[int]:
    """The table rows of a text's words (runs of letters and digits), each word once.

    >>> word_rows("Sci-Fi, sci fi") == word_rows("SCI FI"), word_rows("...")
    (True, [])
    """
    words = dict.fromkeys(re.findall(r"[^\W_]+", text.lower()))
    return [zlib.crc32(word.encode()) % (VOCABULARY - 1) + 1 for word in words]


def resolve_search(config: Config, fold: Fold) -> str:
    """The config's search, checked; a file's path has its stamp added.

    Raises:
      InputError: the data set has no words to simulate searches from; or the file is
        not named, malformed, or has no query for a fitted pair or for a held-out one.
    """
    search = read(config.search, SEARCHES)
    if search.name == SIMULATED:
        _vocabulary(fold.fitted.items)
    if search.name != "file":
        return search.text()
    if not search.values["path"]:
        raise InputError("search file: path is missing, as in file,path=searches.csv")
    words = {
        "fitted": search_words(config, fold.fitted)[_event_rows(fold.fitted)],
        "judged": held_words(config, fold),
    }
    path = unstamped(search.values["path"])
    n = {name: int((rows[:, 0] > 0).sum()) for name, rows in words.items()}
    for name, rows in words.items():
        if not n[name]:
            raise InputError(
                f"{path}: no query for any of the {len(rows)} {name} "
                f"pairs of user and item"
            )
    _say_once(
        f"{path}: a query for {n['fitted']} of {len(words['fitted'])} "
        f"fitted pairs, for {n['judged']} of {len(words['judged'])} judged"
    )
    return search.but("path", stamped(search.values["path"])).text()


@functools.cache
def _say_once(line: str) -> None:
    """Says a line once per process, however many runs of a grid it concerns."""
    say(line)


def search_words(config: Config, fitted: Events) -> Int[ndarray, "p w"]:
    """The words of the search before each fitted event; row position + user.

    A user with n events has n + 1 rows. The last one, for the search after all of them,
    has no words in training.
    """
    rows = np.zeros(
        (len(fitted.user) + fitted.n_users, words_per_search(config)), np.int32
    )
    rows[_event_rows(fitted)] = _words(config, fitted, fitted.user, fitted.item)
    return rows


def held_words(config: Config, fold: Fold) -> Int[ndarray, "v w"]:
    """Search words of each evaluated user, for its first held-out item in time."""
    first = np.searchsorted(fold.held_user, fold.evaluated)
    return _words(config, fold.fitted, fold.evaluated, fold.held_item[first])


def _event_rows(fitted: Events) -> Int[ndarray, " e"]:
    return np.arange(len(fitted.user)) + fitted.user


def _words(
    config: Config, fitted: Events, user: Int[ndarray, " n"], item: Int[ndarray, " n"]
) -> Int[ndarray, "n w"]:
    """The words of the search that ended in each pair, padded with 0."""
    raw_user, raw_item = fitted.users.id[user], fitted.items.id[item]
    if entry_name(config.search) == SIMULATED:
        event = pair_hash(raw_user, raw_item, WORDS_SALT)
        return _simulated(config, fitted.items, event, item)
    n_words = words_per_search(config)
    words = np.zeros((len(user), n_words), np.int32)
    sides = (fitted.users, user), (fitted.items, item)
    texts = fitted.users.text is not None, fitted.items.text is not None
    queries = read_searches(stamped(search_file(config)), texts)
    raw = (table.names[rows].tolist() for table, rows in sides)
    for n, pair in enumerate(zip(*raw, strict=True)):
        rows = word_rows(queries.get(pair, ""))[:n_words]
        words[n, : len(rows)] = rows
    return words


def _simulated(
    config: Config, items: Table, event: UInt64[ndarray, " n"], item: Int[ndarray, " n"]
) -> Int[ndarray, "n w"]:
    """Words drawn evenly from the target's, some replaced by words of any item.

    A word is replaced with probability noise, by one of an item drawn evenly
    from the catalogue: at noise 1 words and target are independent. The draws depend on
    user and item alone, not on split or seed, and a larger noise replaces all words
    that a smaller one does, and more. An item without words has an empty search.
    """
    of_search = read(config.search, SEARCHES).values
    words, offsets = _vocabulary(items)
    n = np.diff(offsets)
    with_words = np.flatnonzero(n)
    columns = []
    for slot in range(of_search["words"]):
        replaced, other, which = (
            splitmix64(event + np.uint64(3 * slot + part)) for part in range(3)
        )
        noise = (replaced >> np.uint64(11)).astype(np.float64) / 2**53
        any_item = with_words[other % np.uint64(len(with_words))]
        source = np.where(noise < of_search["noise"], any_item, item)
        place = which % np.maximum(n[source], 1).astype(np.uint64)
        columns.append(words[offsets[source] + place.astype(np.int64)])
    rows = np.stack(columns, axis=1)
    return np.where(n[item][:, None] > 0, rows, 0).astype(np.int32)


def _vocabulary(items: Table) -> tuple[Int[ndarray, " w"], Int[ndarray, " i1"]]:
    """Item i's words are words[offsets[i] : offsets[i + 1]]: title, then genres.

    A 0 at the end keeps the look-up valid where the last item has no words.
    """
    rows = [word_rows(text) for text in _texts(items)]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    if not offsets[-1]:
        raise InputError(
            f"search {SIMULATED} needs titles or genres: this data set has neither"
        )
    return np.array([*(word for row in rows for word in row), 0]), offsets


def _texts(items: Table) -> Iterable[str]:
    """All texts of each item, then the names of all its categories."""
    texts, flags = items.of_kind(TEXT), items.of_kind(CATEGORIES)
    for row in range(len(items.id)):
        words = [str(column.values[row]) for column in texts]
        for column in flags:
            words += [column.names[g] for g in np.flatnonzero(column.values[row])]
        yield " ".join(words)
