"""Bad files of one's own: one line on where, what was found, what is expected."""

import csv
import gzip
import os
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from research.data import load
from research.data.bad_rows import bad_path, copy_good_rows
from research.types import InputError
from tests.data.own import ROWS, csv_text, write
from tests.refusal import refusal

GOOD = csv_text()
LINES = GOOD.splitlines()


# The name of a file, its text (@n: the good one with another line n), and what the line
# that refuses it has to say.
TEXTS = r"""
x.csv | uid,item_id,time\n1,2,3\n | x.csv:1: expected a column user | --columns
x.csv | uid,item_id,time\n1,2,3\n | found uid, item_id, time
x.csv | user,itm\n1,2\n | nearest: itm
x.csv | @4 bob,0005,5,five,train | x.csv:4: expected a rating, a finite number, | 'five'
x.csv | @8 cid,0005,,4,train | x.csv:8: expected a timestamp, seconds from 0 on | ''
x.csv | @5 ann,76X,3,nan,test | :5: | 'nan'
x.csv | user,item,rating\na,x,1\nb,x,nan\n | :3: expected a rating, a finite number
x.csv | @5 ann,76X,inf,3,test | :5: | 'inf'
x.csv | @5 ann,76X,2014-01-01,3,test | x.csv:5: expected a timestamp | '2014-01-01'
x.csv | user,item,timestamp\nu0,x,5\nu1,x,-3\nu2,x,7\n | :3: | '-3'
x.csv | user,item,timestamp\na,x,1700000000\nb,x,1700000001\nc,x,1700000000000\n | :4:
x.csv | user,item,timestamp\na,x,1700000000000\nb,x,1700000001000\nc,x,1700000000\n | :4
x.csv | user,item,timestamp\na,x,2024-05-31\nb,x,2024-13-01\n | :3: | a time
x.csv | user,item,timestamp\na,x,2024-05-31\nb,x,1969-12-31\n | :3: | such as 2024
x.csv | user,item,timestamp\na,x,2024-05-31\nb,x,1700000000\n | :3: | '1700000000'
x.csv | user,item,timestamp\na,x,2024-05-31\nb,x,\n | :3: expected a time | ''
x.csv | user,item,timestamp\na,x,2024-05-31 01\nb,x,2024-05-31 01Z\n | :3: | without
x.csv | user,item,timestamp\na,x,2024-05-31 01Z\nb,x,2024-05-31 01\n | :3: | with a zone
x.csv | user;item\na;b\n | expected a column user | fields are separated by commas
x.csv | @2 NaN,0005,10,4,train | :2: | a user id
x.csv | @2 ann,,10,4,train | :2: expected an item id
x.csv | @6 bob,76X,15,4,valid | :6: expected a part, train or valid | 'valid'
x.csv | @6 ann,0005,15,4,test | :6: expected one part | ann and 0005 | 'test'
x.csv | @4 bob,0005 | :4: expected 5 fields
x.csv | user,item,timestamp,rating,part\n | x.csv:2: expected interactions
x.csv |  | x.csv:1: | found an empty file
x.csv | \n\n | x.csv:1: expected a header
x.csv | user,item\na,x\na,y\n | expected at least 2 users, found only 'a'
x.csv | user,item,user\na,x,b\n | x.csv:1: two columns are named 'user'
x.csv | @3 ann,\xff,20,2,train | x.csv:3: expected UTF-8 | 0xff
x.txt | GOOD | expected a file that ends in | .parquet
x.parquet | GOOD | x.parquet: expected parquet | other bytes
x.inter | user_id:float\titem_id:token\n1\ta\ntwo\tb\n | :3: expected a user id | two
x.csv | user:number,item\n1,a\n1.5,b\n | :3: expected a user id, a whole number | 1.5
"""


@pytest.mark.parametrize("case", TEXTS.strip().split("\n"))
def test_a_bad_file_is_refused_in_one_line(case, tmp_path):
    name, text, *parts = case.split(" | ")
    text = text.encode().decode("unicode_escape").strip(" ")
    if text.startswith("@"):
        text = "\n".join([*LINES[: int(text[1]) - 1], text[3:], *LINES[int(text[1]) :]])
    (tmp_path / name).write_bytes((GOOD if text == "GOOD" else text).encode("latin-1"))
    refused(tmp_path / name, *parts)


def test_an_endless_id_is_refused(tmp_path):
    path = write(tmp_path / "x.csv", "\n".join([*LINES, f"{'a' * 300},x,1,4,train"]))
    refused(path, f":{len(LINES) + 1}:", "at most 255 characters")


def refused(path, *parts, columns=()):
    line = refusal(load, str(path), columns=columns)
    for part in (str(path.parent), *parts):
        assert part in line


def cut_off(path):
    path.write_bytes(gzip.compress((GOOD * 500).encode())[:-30])


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.csv", GOOD)


def damaged_parquet(path):
    pq.write_table(pa.table({"user": ["a", "b"], "item": ["x", "y"]}), path)
    data = path.read_bytes()
    path.write_bytes(data[:10] + data[60:])


def parquet_of(**columns):
    return lambda path: pq.write_table(pa.table(columns), path)


FILES = {
    "a .gz cut off": ("x.csv.gz", cut_off, ("x.csv.gz", "read")),
    "a .gz that is none": (
        "x.csv.gz", lambda p: p.write_text(GOOD), ("expected gzip",)
    ),
    "gzip by another name": (
        "x.csv", lambda p: p.write_bytes(gzip.compress(GOOD.encode())),
        ("x.csv: expected text, found gzip",),
    ),
    "a zip": ("x.csv", zipped, ("x.csv: expected text, found a zip",)),
    "a parquet damaged": ("x.parquet", damaged_parquet, ("x.parquet",)),
    "a parquet of floats as ids": (
        "x.parquet", parquet_of(user=[1.0, 2.0], item=["a", "b"]),
        ("expected text or whole numbers in column user, found double",),
    ),
    "a parquet of texts as numbers": (
        "x.parquet", parquet_of(user=["a", "b"], item=["x", "y"], rating=["1", "2"]),
        ("expected numbers in column rating, found string",),
    ),
    "a parquet with a gap": (
        "x.parquet", parquet_of(user=["a", None], item=["x", "y"]),
        ("x.parquet: row 2: expected a user id",),
    ),
    "a FIFO": ("x.csv", os.mkfifo, ("neither a file nor a folder",)),
    "a link to itself": ("x.csv", lambda p: p.symlink_to(p), ("symbolic links",)),
    "nothing there": ("x.csv", lambda p: None, ("No such file",)),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_none_is_refused_in_one_line(case, tmp_path):
    name, make, parts = FILES[case]
    make(tmp_path / name)
    refused(tmp_path / name, *parts)


def test_a_gzip_may_unpack_to_a_number_of_times_its_size(tmp_path, monkeypatch):
    path = write(tmp_path / "x.csv.gz", GOOD)
    ratio = -(-len(GOOD) // path.stat().st_size)
    monkeypatch.setattr("research.data.places.UNPACKED", 0)
    monkeypatch.setattr("research.data.places.RATIO", ratio)
    assert len(load(str(path)).user) == len(ROWS)
    monkeypatch.setattr("research.data.places.RATIO", ratio - 1)
    refused(path, f"x.csv.gz: {path.stat().st_size} bytes unpack to more than")


def test_two_ids_of_one_hash_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("research.data.own.text_id", len)
    path = write(tmp_path / "x.csv", GOOD)
    with pytest.raises(InputError, match="user ids ann and bob have one hash"):
        load(str(path))


# The files of a folder, each with its text, and what the line has to say; + stands for
# good interactions.
FOLDERS = r"""
users.csv=user\na\n | found users.csv
 | found nothing
+ interactions.tsv=GOOD | two files of interactions, interactions.csv
+ items.csv=item\n a.item=item\n | two files of items, a.item and
+ items.csv=sku,price\n1,2\n | items.csv:1: expected a column item
+ users.csv=user,age\nann,3\nbob,4\nann,5\n | :4: expected user ann once
+ items.csv=item,impressions\n0005,3\n76X,ten\n | items.csv:3: | 'ten'
+ items.csv=item,price:float\n0005,cheap\n | items.csv:2: expected a
+ items.csv= | items.csv:1: expected a header
+ items.csv=item,price\n0005,3,4\n | items.csv:2: expected 2 fields
"""


@pytest.mark.parametrize("case", FOLDERS.strip("\n").split("\n"))
def test_a_folder_that_is_none_is_refused_in_one_line(case, tmp_path):
    files, *parts = case.split(" | ")
    folder = tmp_path / "shop"
    folder.mkdir()
    for file in files.replace("+", "interactions.csv=GOOD").split():
        name, _, text = file.partition("=")
        text = text.encode().decode("unicode_escape")
        write(folder / name, GOOD if text == "GOOD" else text)
    refused(folder, *parts)


@pytest.mark.parametrize(
    ("column", "values", "counted", "first"),
    [
        ("price", ["2.5", "7,25", "0,5", "NA"], "2 of 3", "'7,25' in items.csv:3"),
        ("sold", ["", "1,234.5", "1.234,5", ""], "2 of 2", "'1,234.5' in items.csv:3"),
        ("price", ["7,25", "few", "many", "12"], "", ""),
        ("sizes", ["1,2,3", "4,5,6", "1,2", "9,9,9"], "", ""),
        ("price:category", ["7,25", "0,5", "1", "2"], "", ""),
        ("price", ["7.25", "0.5", "1", "2"], "", ""),
    ],
)
def test_numbers_with_commas_are_said_to_be_none(
    column, values, counted, first, tmp_path
):
    items = dict(zip(("0005", "76X", "zed", "other"), values))
    text = "".join(f'{item},"{value}"\n' for item, value in items.items())
    write(tmp_path / "items.csv", f"item,{column}\n{text}")
    write(tmp_path / "interactions.csv", GOOD)
    notes = [note for note in load(str(tmp_path)).notes if "taken as" in note]
    assert len(notes) == bool(first)
    for note in notes:
        assert f": items.csv: column {column} is taken as category, not as nu" in note
        assert f"{counted} values look like numbers but for a comma" in note
        assert note.endswith(f"first {first}")


def test_a_fifo_and_a_loop_inside_a_folder(tmp_path):
    for name, make in (("a", os.mkfifo), ("b", lambda p: p.symlink_to(p))):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "interactions.csv")
        refused(tmp_path / name, "interactions.csv")


WORDS = {
    "no equals": (("uid",), "columns uid: expected COLUMN=NAME"),
    "an unknown one": (("person=uid",), "columns person=uid: expected COLUMN=NAME"),
    "twice": (("user=a", "user=b"), "columns names user twice"),
    "one for two": (("user=a", "item=a"), "the file's column a twice"),
    "another one's": (("user=item",), "the file's column item twice"),
    "not there": (("rating=stars",), "expected a column stars, found user"),
}


@pytest.mark.parametrize("case", WORDS)
def test_names_of_columns_that_cannot_be_meant(case, tmp_path):
    words, line = WORDS[case]
    path = write(tmp_path / "x.csv", csv_text(ROWS))
    with pytest.raises(InputError, match=line):
        load(str(path), columns=words)


def test_flags_of_the_other_kind_of_data_set(tmp_path):
    path = str(write(tmp_path / "x.csv", csv_text()))
    with pytest.raises(InputError, match="data_dir is for ml-100k"):
        load(path, data_dir=str(tmp_path))
    with pytest.raises(InputError, match="columns user=uid: ml-100k has its own names"):
        load("ml-100k", columns=("user=uid",))


def test_bad_rows_are_left_out_of_a_copy_and_told(tmp_path):
    """Each with its line and the reason; the copy is read as any other file."""
    lines = [
        *LINES,
        "cid,zed,x,4,train",
        "cid,zed,7",
        ",zed,7,4,train",
        "dan,zed,8,4,train",
    ]
    file = write(tmp_path / "x.csv", "\n".join(lines) + "\n")
    clean = tmp_path / "new" / "clean.csv"
    assert copy_good_rows(file, {}, clean) == (len(ROWS) + 1, 3)
    with bad_path(clean).open(newline="") as text:
        told = list(csv.DictReader(text))
    first = len(LINES) + 1
    assert [row["line"] for row in told] == [str(first + n) for n in range(3)]
    assert [row["reason"].partition(",")[0] for row in told] == [
        "expected a timestamp",
        "expected 5 fields",
        "expected a user id",
    ]
    assert [row["user"] for row in told] == ["cid", "cid", ""]
    assert len(load(str(clean)).user) == len(ROWS) + 1


def test_a_copy_keeps_the_types_of_columns(tmp_path):
    lines = ["user_id:float\titem_id:token", "1\tx", "one\tx", "2\ty", ""]
    file, clean = write(tmp_path / "x.inter", "\n".join(lines)), tmp_path / "clean.csv"
    assert copy_good_rows(file, {}, clean) == (2, 1)
    assert load(str(clean)).users.id.tolist() == [1, 2]


def test_a_copy_never_takes_the_place_of_its_file(tmp_path):
    for name in ("x.csv", "y-bad-rows.csv"):
        file = write(tmp_path / name, GOOD)
        clean = tmp_path / name.replace("-bad-rows", "")
        with pytest.raises(InputError, match="needs another name"):
            copy_good_rows(file, {}, clean)
        assert file.read_text() == GOOD


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "user,item,timestamp\na,x,now\n", "no row can be read"),
        ("x.csv", "user\na\n", "expected a column item"),
        ("x.parquet", "", "text files alone"),
    ],
)
def test_a_copy_of_no_good_row_is_refused_and_not_written(name, text, said, tmp_path):
    file, clean = write(tmp_path / name, text), tmp_path / "clean.csv"
    if name == "x.parquet":
        pq.write_table(pa.table({"user": ["a"], "item": ["x"]}), file)
    with pytest.raises(InputError, match=said):
        copy_good_rows(file, {}, clean)
    assert not clean.exists()
