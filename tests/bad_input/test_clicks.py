"""Files of searches, histories and users: damaged ones, and those that are none."""

import csv
import io

import pytest

from research.features.content import stamped
from research.features.search import read_searches
from research.saved.histories import read_histories, read_users
from tests.bad_input.test_files import IDS
from tests.bad_input.test_readers import for_each_damage
from tests.refusal import outcome, refusal


def columns(path, *names):
    """The texts of columns of a csv file by their names, () for one it lacks."""
    text = io.StringIO(path.read_text("utf-8-sig"), newline="")
    header, *rows = [row for row in csv.reader(text) if row]
    places = {name.strip(): n for n, name in enumerate(header)}
    return [
        [row[places[name]] for row in rows] if name in places else () for name in names
    ]


SEARCHES = 'user,item,query\n1,2,old films\n1,3,\n2,2,"a, b"\n'


def test_damaged_searches(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text(SEARCHES)

    def check():
        read = outcome(lambda: read_searches(stamped(str(path))))
        if read is not None:
            user, item, query = columns(path, "user", "item", "query")
            pairs = zip(map(int, user), map(int, item), strict=True)
            assert read == dict(zip(pairs, (text.strip() for text in query)))

    for_each_damage(path, check)


HISTORIES = "user,item,timestamp\n1,2,10\n1,3,5\n2,2,7\n9,,\n"


def test_damaged_histories(tmp_path):
    path = tmp_path / "h.csv"
    path.write_text(HISTORIES)

    def check():
        read = outcome(read_histories, path, IDS, IDS)
        if read is not None:
            user, item, time = columns(path, "user", "item", "timestamp")
            clicks = [(int(u), int(i)) for u, i in zip(user, item) if i.strip()]
            assert [*zip(read.users[read.user].tolist(), read.item.tolist())] == clicks
            if time:
                times = [t.strip() for t, i in zip(time, item) if i.strip()]
                assert read.timed == (not times or any(times))
                if any(times):
                    assert read.time.tolist() == [int(float(time)) for time in times]

    for_each_damage(path, check)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "user\n1\n", "user,item\n0x1,2\n",
     "user,item\n1,two\n", "user,item\n1\n", "user,item,timestamp\n1,2,nan\n",
     "user,item,timestamp\n1,2,-1\n", "user,item,timestamp\n1,2,inf\n",
     "user,item,user\n1,2,3\n", "user,item\n1,²\n", "\0", '"' + "x" * 200_000],
)  # fmt: skip
def test_histories_that_are_none(text, tmp_path):
    path = tmp_path / "h.csv"
    path.write_text(text)
    refusal(read_histories, path, IDS, IDS)


@pytest.mark.parametrize("text", ["", "item\n1\n", "user,age\n1\n"])
def test_users_that_are_none(text, tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(text)
    refusal(read_users, path, IDS)
