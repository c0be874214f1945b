"""Own searches: a file that says what was typed before which click."""

import functools

from research.content import unstamped
from research.data.places import Place
from research.data.rows import csv_fields, malformed, new_id

__all__ = ["COLUMNS", "read_searches"]

COLUMNS = ["user", "item", "query"]


@functools.lru_cache(maxsize=2)
def read_searches(name: str) -> dict[tuple[int, int], str]:
    """The query of each (user, item), by the data set's own ids.

    A comma-separated file in UTF-8 whose header begins with user, item and query;
    further columns are passed over. Pairs that aren't positives do no harm.

    Args:
      name: the file with the stamp of its content (research/content.py), so that what
        was read before holds as long as the file does.

    Raises:
      InputError: naming file and line, where the header is another, a row has more or
        fewer fields, an id isn't a whole number below 2**31, or a pair has two
        queries; or the file isn't text.
    """
    path = unstamped(name)
    found: dict[tuple[int, int], str] = {}
    for where, fields in csv_fields(Place(path.parent), path.name, COLUMNS):
        user, item, query = (field.strip() for field in fields[:3])
        pair = (
            new_id(where, "a user id", user, ()),
            new_id(where, "an item id", item, ()),
        )
        if pair in found:
            raise malformed(where, "a pair not seen before", f"{user},{item}")
        found[pair] = query
    return found
