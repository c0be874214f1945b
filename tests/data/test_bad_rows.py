import pytest

from research.data import load
from tests.data.miniature import write_1m, write_100k, write_csv
from tests.refusal import refusal

WRITE = {
    "ml-100k": write_100k,
    "ml-1m": write_1m,
    "ml-20m": lambda root: write_csv(root, "ml-20m"),
}


# A row, its fields between spaces, and what is expected in their place.
BAD_RATINGS = """
1 x 3 5          | an item id, a whole number below 2^31, found 'x'
1.5 1 3 5        | a user id, a whole number below 2^31, found '1.5'
-1 1 3 5         | a user id, a whole number below 2^31, found '-1'
 1 3 5           | a user id, a whole number below 2^31, found ''
1 2147483648 3 5 | an item id, a whole number below 2^31, found '2147483648'
1 1 5.5 5        | a rating from 0.5 to 5, found '5.5'
1 1 0 5          | a rating from 0.5 to 5, found '0'
1 1 nan 5        | a rating from 0.5 to 5, found 'nan'
1 1 inf 5        | a rating from 0.5 to 5, found 'inf'
1 1 good 5       | a rating from 0.5 to 5, found 'good'
1 1 3 -5         | a timestamp, whole seconds from 0 on, found '-5'
1 1 3 5.5        | a timestamp, whole seconds from 0 on, found '5.5'
"""


@pytest.mark.parametrize("case", BAD_RATINGS.strip("\n").split("\n"))
@pytest.mark.parametrize(
    ("name", "file", "separator"),
    [
        ("ml-100k", "u.data", "\t"),
        ("ml-1m", "ratings.dat", "::"),
        ("ml-20m", "ratings.csv", ","),
    ],
)
def test_a_malformed_rating(name, file, separator, case, tmp_path):
    row, expected = case.split("| ")
    path = WRITE[name](tmp_path) / name / file
    lines = path.read_text().splitlines()
    # A blank line before it: the number is the line's, not the rating's.
    lines[2:3] = ["", row.rstrip().replace(" ", separator)]
    path.write_text("\n".join(lines))
    assert refusal(load, name, str(tmp_path)) == f"{path}:4: expected {expected}"


@pytest.mark.parametrize(
    ("name", "file", "row", "expected"),
    [
        ("ml-100k", "u.data", "1\t1\t3", "4 fields between tabs"),
        ("ml-100k", "u.data", "1\t1\t3\t5\t6", "4 fields between tabs"),
        ("ml-100k", "u.data", "1 1 3 5", "4 fields between tabs"),
        ("ml-100k", "u.data", '"2"\t5\t3\t5', "a user id, a whole number below 2^31"),
        ("ml-1m", "ratings.dat", "1::1::3", "4 fields between '::'"),
        ("ml-1m", "ratings.dat", "1:9:1::3::5", "4 fields between '::'"),
        ("ml-20m", "ratings.csv", "1,1,3", "4 fields"),
        ("ml-100k", "u.user", "3|24|X|writer|1", "gender M or F"),
        ("ml-100k", "u.user", "3|old|M|writer|1", "an age in years"),
        ("ml-100k", "u.user", "3|999|M|writer|1", "an age in years"),
        ("ml-100k", "u.user", "3|24|M|writer", "5 fields between '|'"),
        ("ml-100k", "u.user", "7|24|M|writer|1", "a user id not seen before"),
        (
            "ml-100k",
            "u.user",
            "x|24|M|writer|1",
            "a user id, a whole number below 2^31",
        ),
        ("ml-100k", "u.item", "3|X (1995)||||0|1", "24 fields between '|'"),
        ("ml-100k", "u.item", "3|X|||" + "|0" * 18 + "|2", "19 flags of genre, 0 or 1"),
        ("ml-100k", "u.item", "1|X|||" + "|0" * 19, "an item id not seen before"),
        ("ml-1m", "users.dat", "3::M::24::4", "5 fields between '::'"),
        ("ml-1m", "movies.dat", "3::X (1995)", "3 fields between '::'"),
        ("ml-20m", "movies.csv", "3,X (1995)", "3 fields"),
        ("ml-20m", "movies.csv", "x,X (1995),War", "an item id, a whole number"),
    ],
)
def test_a_malformed_row_of_any_file(name, file, row, expected, tmp_path):
    path = WRITE[name](tmp_path) / name / file
    with path.open("a", encoding="latin-1") as stream:
        stream.write(row + "\n")
    number = len(path.read_bytes().splitlines())
    assert refusal(load, name, str(tmp_path)).startswith(
        f"{path}:{number}: expected {expected}"
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("8\t1\t3\t5", "a user of the user table, found '8'"),
        ("1\t2\t3\t5", "an item of the item table, found '2'"),
        ("1\t9999\t3\t5", "an item of the item table, found '9999'"),
        (
            "2\t1\t3\t5",
            "one rating of an item by a user, found 'user 2 and item 1 again'",
        ),
    ],
)
def test_a_rating_that_contradicts_the_rest(row, expected, tmp_path):
    path = write_100k(tmp_path) / "ml-100k" / "u.data"
    path.write_text(f"\n{path.read_text()}{row}\n2\t1412\t3\t5\n")
    assert refusal(load, "ml-100k", str(tmp_path)) == f"{path}:8: expected {expected}"


FILES = {
    "ml-100k": ("u.data", "u.user", "u.item"),
    "ml-1m": ("ratings.dat", "users.dat", "movies.dat"),
    "ml-20m": ("ratings.csv", "movies.csv"),
}


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name in FILES for file in FILES[name]]
)
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file(name, file, text, tmp_path):
    path = WRITE[name](tmp_path) / name / file
    path.write_text(text)
    assert refusal(load, name, str(tmp_path)).startswith(f"{path}:1: expected ")


RATINGS = "userId,movieId,rating,timestamp\n"
# Of a file of ml-20m: its new text, the line that is named, what is expected there.
CSV = {
    "no header": ("movies.csv", lambda t: t.partition("\n")[2], 1, "columns "),
    "no first line": ("ratings.csv", lambda t: t.partition("\n")[2], 1, "columns "),
    "a header alone": ("ratings.csv", lambda t: RATINGS, 1, "ratings, found none"),
    "a film that is not there": ("ratings.csv", lambda t: t + "9,77,3.0,5\n", 8,
                                 "an item of the item table, found '77'"),
    "a quote without an end": ("movies.csv", lambda t: t + '9,"Endless' + "x" * 200_000,
                               7, "a row of csv"),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV)
def test_a_csv_that_is_none(case, tmp_path):
    file, change, line, expected = CSV[case]
    path = write_csv(tmp_path, "ml-20m") / "ml-20m" / file
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    assert refusal(load, "ml-20m", str(tmp_path)).startswith(
        f"{path}:{line}: expected {expected}"
    )


def test_a_csv_that_names_a_column_twice_or_is_not_utf8(tmp_path):
    path = write_csv(tmp_path, "ml-20m") / "ml-20m" / "ratings.csv"
    text = path.read_text()
    path.write_text("userId,movieId,rating,timestamp,rating\n1,1,3,5,3\n")
    assert (
        refusal(load, "ml-20m", str(tmp_path))
        == f"{path}:1: two columns are named 'rating'"
    )
    path.write_text(text)
    path = path.with_name("movies.csv")
    path.write_text(path.read_text("utf-8"), "latin-1")
    expected = "expected UTF-8, found 'byte 0xe9'"
    assert refusal(load, "ml-20m", str(tmp_path)) == f"{path}:3: {expected}"
