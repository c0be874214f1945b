import numpy as np
import pytest

from research.data.cache import multi_hot, rows_of
from research.data.formats import NO_GENRE, title_and_year


@pytest.mark.parametrize(
    ("title", "source_year", "expected"),
    [
        ("Toy Story (1995)", "", ("Toy Story", 1995)),
        ("Toy Story (1995)", "1996", ("Toy Story", 1995)),
        ("Toy Story", "1995", ("Toy Story", 1995)),
        ("Shadow and Light (1996) ", "", ("Shadow and Light", 1996)),
        ("X (1995) (V)", "", ("X", 1995)),
        ("X (1995)", "V", ("X", 1995)),
        ("X (1939) (1994)", "", ("X (1939)", 1994)),
        ("(500) Days of Summer (2009)", "", ("(500) Days of Summer", 2009)),
        ("1984", "", ("1984", 0)),
        ("Death Note (2006-2007)", "", ("Death Note (2006-2007)", 0)),
        ("X (12345)", "95", ("X (12345)", 0)),
        ("unknown", "unkonwn", ("unknown", 0)),
        (" Babylon 5 ", "", ("Babylon 5", 0)),
    ],
)
def test_title_and_year(title, source_year, expected):
    assert title_and_year(title, source_year) == expected


def test_genres_are_flags_over_the_sorted_names_that_occur():
    flags, names = multi_hot(
        ["War|Drama", "unknown", "(no genres listed)", "", "Drama"], NO_GENRE
    )
    assert names == ("Drama", "War")
    assert flags.tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize("offset", [0, 2**30])  # by lookup, by search
def test_rows_of(offset):
    ids = np.array([2, 5, 9]) + offset
    values = np.array([9, 2, 5, 3, 1, 10, 2**31 - 1 - offset]) + offset
    assert rows_of(values, ids).tolist() == [2, 0, 1, -1, -1, -1, -1]
