"""One's own data: every format gives the same data set, and says what it lacks."""

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.data import load, name_of
from research.events import catalogue
from research.rng import text_id
from research.types import CATEGORIES, CATEGORY, NUMBER, TEXT, InputError
from tests.data.own import HEADER, ROWS, csv_text, taken, told, write

RECBOLE = "user_id:token,item_id:token,timestamp:float,rating:float,part:token"


def write_parquet(path, rows=ROWS, header=HEADER):
    names = header.split(",")
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows))))), path)
    return path


FORMATS = {
    "x.csv": lambda p: write(p, csv_text()),
    "x.csv.gz": lambda p: write(p, csv_text()),
    "x.tsv": lambda p: write(p, csv_text(separator="\t")),
    "x.inter": lambda p: write(p, csv_text(header=RECBOLE, separator="\t")),
    "x.parquet": write_parquet,
}


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_gives_the_same_data(file, tmp_path):
    ratings = load(str(FORMATS[file](tmp_path / file)))
    part = {"train": 0, "validation": 1, "test": 2}
    assert told(ratings) == {(u, i): (t, r, part[p]) for u, i, t, r, p in ROWS}
    assert ratings.name == "x"
    assert ratings.timed
    assert ratings.rated
    of_csv = load(str(write(tmp_path / "other" / "y.csv", csv_text())))
    assert ratings.digest == of_csv.digest


def test_ids_stay_text_and_are_sorted_by_their_hash(tmp_path):
    ratings = load(str(write(tmp_path / "x.csv", csv_text())))
    assert set(ratings.items.names.tolist()) == {"0005", "x,1", "76X", "zed"}
    assert ratings.items.id.tolist() == sorted(map(text_id, ratings.items.names))
    assert (np.diff(ratings.users.id) > 0).all()


@pytest.mark.parametrize("other", ["", "9", "09", str(2**31)])
def test_ids_that_are_numbers_beside_a_table_of_text(other, tmp_path):
    """They stay numbers if all ids of the table are numbers too."""
    rows = [(1, 70), (2, 5), (1, 5)]
    write_parquet(tmp_path / "interactions.parquet", rows, "user,item")
    more = f"{other},1\n" if other else ""
    write(tmp_path / "items.csv", f"item,price\n70,3\n5,4\n{more}")
    items = load(str(tmp_path)).items
    prices = {"70": 3, "5": 4} | ({other: 1} if other else {})
    names = map(str, items.names.tolist())
    assert dict(zip(names, items.columns["price"].values)) == prices
    assert (items.text is None) is (other in ("", "9"))
    if items.text is None:
        assert items.id.tolist() == sorted(map(int, prices))


def test_a_folder_with_tables(tmp_path):
    folder = tmp_path / "shop"
    write(folder / "interactions.csv", csv_text(taken(ROWS, 0, 1), "user,item"))
    write(
        folder / "items.csv",
        "item,price,tags,brand,impressions,name:text\n"
        "0005,2.5,a|b,acme,10,First one\n76X,,b,acme,4,\nnew,1,,best,0,Unseen\n",
    )
    write(folder / "users.csv", "user,zip,age\nann,02139,31\nbob,10001,\nzoe,9,9\n")
    ratings = load(str(folder))
    assert name_of(str(folder)) == ratings.name == "shop"
    kinds = {name: column.kind for name, column in ratings.items.columns.items()}
    expected = {"price": NUMBER, "tags": CATEGORIES, "brand": CATEGORY}
    assert kinds == expected | {"impressions": NUMBER, "name": TEXT}
    row = {name: n for n, name in enumerate(ratings.items.names.tolist())}
    assert set(row) == {"0005", "x,1", "76X", "zed", "new"}
    assert ratings.items.columns["price"].values[row["0005"]] == 2.5
    tags = ratings.items.columns["tags"]
    assert tags.names == ("a", "b")
    assert tags.values[row["0005"]].tolist() == [True, True]
    for column in ratings.items.columns.values():
        assert column.missing[row["zed"]]
    at = ratings.users.names.tolist().index("ann")
    assert ratings.users.columns["zip"].values[at] == "02139"
    assert "zoe" not in ratings.users.names
    notes = "\n".join(ratings.notes)
    assert "1 users of users.csv have no row in the interactions: left out" in notes
    assert "1 users have no row in users.csv" in notes
    assert "1 items of items.csv have no row in the interactions" in notes
    assert catalogue(ratings, items="all").n_items == 5


def test_a_list_of_parquet_is_categories(tmp_path):
    write(tmp_path / "interactions.csv", csv_text(taken(ROWS, 0, 1), "user,item"))
    lists = {"item": ["76X", "0005", "zed"], "tags": [["b", "a"], [], None]}
    pq.write_table(pa.table(lists), tmp_path / "items.parquet")
    items = load(str(tmp_path)).items
    tags = items.columns["tags"]
    assert (tags.kind, tags.names) == (CATEGORIES, ("a", "b"))
    named = dict(zip(items.names.tolist(), tags.values.sum(axis=1).tolist()))
    assert named == {"76X": 2, "0005": 0, "zed": 0, "x,1": 0}


@pytest.mark.parametrize(
    ("ids", "texts"),
    [("7 7.0 3", None), ("-7 3 -7.", "-7 3"), (f"{2**31} 3 5", f"{2**31} 3 5")],
)
def test_typed_ids_are_whole_numbers(ids, texts, tmp_path):
    lines = ["user_id:float\titem_id:token", *(f"{one}\tx" for one in ids.split())]
    users = load(str(write(tmp_path / "x.inter", "\n".join([*lines, ""])))).users
    if texts is None:
        assert (users.text, users.id.tolist()) == (None, [3, 7])
    else:
        assert set(users.text) == set(texts.split())


@pytest.mark.parametrize(("distinct", "kind"), [(30, CATEGORY), (31, TEXT)])
def test_words_of_which_more_than_half_differ_are_text(distinct, kind, tmp_path):
    pairs = [("ann", "i0"), ("bob", "i1")]
    write(tmp_path / "interactions.csv", csv_text(pairs, "user,item"))
    words = [f"i{n},{n % distinct} cl" for n in range(61)]
    write(tmp_path / "items.csv", "\n".join(["item,size", *words, ""]))
    assert load(str(tmp_path)).items.columns["size"].kind == kind


@pytest.mark.parametrize("word", ["NA", "NaN", "None", " null "])
def test_a_number_that_is_missing_may_be_a_word(word, tmp_path):
    write(tmp_path / "interactions.csv", csv_text(taken(ROWS, 0, 1), "user,item"))
    write(tmp_path / "items.csv", f"item,price\n0005,2.5\n76X,{word}\nzed,0\n")
    items = load(str(tmp_path)).items
    price = items.columns["price"]
    assert price.kind == NUMBER
    values = dict(zip(items.names.tolist(), np.nan_to_num(price.values, nan=-1)))
    assert values == {"0005": 2.5, "76X": -1, "zed": 0, "x,1": -1}


def test_a_table_of_other_ids_is_refused(tmp_path):
    """Half of the ids may lack a row; with more the table hardly is of these data."""
    write(tmp_path / "interactions.csv", csv_text(taken(ROWS, 0, 1), "user,item"))
    write(tmp_path / "items.csv", "item,price\n0005,1\nzed,2\nother,3\n")
    assert len(load(str(tmp_path)).items.id) == 5
    write(tmp_path / "items.csv", "item,price\n0005,1\nother,2\nmore,3\n")
    with pytest.raises(InputError, match=r"items.csv: it has a row for 1 of 4 items"):
        load(str(tmp_path))


def test_recboles_folder(tmp_path):
    folder = tmp_path / "ml"
    write(
        folder / "ml.inter",
        csv_text(
            taken(ROWS, 0, 1, 2), "user_id:token,item_id:token,timestamp:float", "\t"
        ),
    )
    write(
        folder / "ml.item",
        "item_id:token\tgenre:token_seq\tyear:float\tvector:float_seq\n"
        "0005\tWar Drama\t1999\t0.5 1.5\nzed\t\t\t\n",
    )
    ratings = load(str(folder))
    assert set(ratings.items.columns) == {"genre", "year"}
    assert ratings.items.columns["genre"].names == ("Drama", "War")
    assert ratings.items.columns["year"].kind == NUMBER


def test_other_names_of_columns(tmp_path):
    text = csv_text(ROWS, "uid,sku,when,stars,part")
    path = str(write(tmp_path / "x.csv", text))
    words = ("user=uid", "item=sku", "timestamp=when", "rating=stars")
    ratings = load(path, columns=words)
    assert ratings.digest == load(str(write(tmp_path / "y.csv", csv_text()))).digest


def test_what_is_missing_or_repeated_is_said_in_one_line(tmp_path, capsys):
    rows = [
        ("a", "x", ""),
        ("b", "x", ""),
        ("a", "x", ""),
        ("A ", "y", ""),
        ("a", "y", ""),
    ]
    ratings = load(
        str(write(tmp_path / "x.csv", csv_text(rows, "user,item,timestamp")))
    )
    line, alike = capsys.readouterr().err.splitlines()
    assert "5 rows, 3 users, 2 items" in line
    assert "no timestamps" in line
    assert "no ratings (every row is a positive)" in line
    assert "1 repeats" in line
    assert "1 user ids differ only by case or surrounding spaces" in alike
    assert not ratings.timed
    assert not ratings.rated
    assert len(catalogue(ratings, threshold=100.0).user) == 4


def test_the_line_on_what_was_read_has_its_ends(tmp_path):
    times = [86_400 * day for day in (2, 0, 1)]
    rows = [*zip("aba", "xyy", times, (3, 1, 5), ("train", "test", "train"))]
    (line,) = load(str(write(tmp_path / "x.csv", csv_text(rows)))).notes
    assert line == (
        "x: 3 rows, 2 users, 2 items; from 1970-01-01 to 1970-01-03; ratings 1 to 5; "
        "parts train 2, validation 0, test 1"
    )


def test_a_core_is_taken_until_it_is_stable(tmp_path):
    # b and y are linked only to each other once c and z, with one pair each, are gone.
    rows = [(u, i) for u in "ade" for i in "xvw"] + [("b", "y"), ("b", "z"), ("c", "y")]
    ratings = load(str(write(tmp_path / "x.csv", csv_text(rows, "user,item"))))
    events = catalogue(ratings, core=2)
    assert set(events.users.names.tolist()) == set("ade")
    assert set(events.items.names.tolist()) == set("xvw")
    with pytest.raises(InputError, match="core 4 leaves no positive"):
        catalogue(ratings, core=4)


def test_an_item_that_a_core_leaves_out_is_no_candidate(tmp_path):
    """Nor are its ratings dislikes; an item that was never liked stays."""
    rows = [(user, item, 5) for user in "abc" for item in "xyz"]
    rows += [("a", "rare", 5), ("a", "disliked", 1)]
    path = write(tmp_path / "x.csv", csv_text(rows, "user,item,rating"))
    events = catalogue(load(str(path)), core=2, items="all", with_rated=True)
    assert sorted(events.items.names.tolist()) == ["disliked", "x", "y", "z"]
    assert (~events.rated.positive).sum() == 1
    assert events.rated.rating[~events.rated.positive].tolist() == [1]


def test_names_of_paths():
    assert name_of("/data/my shop/interactions.csv.gz") == "my-shop"
    assert name_of("./ml-100k") == "ml-100k-own"
    assert name_of("ml-100k") == "ml-100k"
    assert name_of("a/b.parquet") == "b"
    assert (name_of("订单.csv"), name_of("点击.csv")) == ("订单", "点击")
    assert name_of("Käufe 2024.csv") == "Käufe-2024"
    decomposed = unicodedata.normalize("NFD", "Käufe.csv")  # as macOS names files
    assert name_of(decomposed) == "Käufe"
    assert name_of("a/<b>&'c'.csv") == "b-c"
