"""Caches, records, arrays, models and filters: damaged ones, and those that are none.

Each is refused in one line or gives what its bytes plainly say; a cache is rebuilt.
"""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.pages.picture import parse_filter
from research.config import Config
from research.data import load
from research.data.cache import read_cached, write_cached
from research.features.content import load_array, stamped
from research.files import write_arrays
from research.report.records import (
    RunResult,
    Stacks,
    load_records,
    load_stored,
    pack,
    save_records,
    save_stored,
)
from research.saved.files import HEADER, load_model, save_model
from research.saved.model import SavedModel
from research.types import Table
from tests.bad_input.test_readers import for_each_damage, many
from tests.data.miniature import write_100k
from tests.refusal import outcome, refusal
from tests.report.made import made_record

IDS = Table(np.arange(1, 8), {})


def bomb(path, name="a.npy", size=2**27):
    """A zip of one member of zeros, and of a thousandth of its size."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w") as member,
    ):
        member.write(bytes(size))


def marked(path, at, value):
    """The zip with another value in the headers of its members."""
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\3\4", at), (b"PK\1\2", at + 2)):
        start = data.find(mark)
        while start >= 0:
            data[start + place] = value
            start = data.find(mark, start + 4)
    path.write_bytes(data)


def claims(path, name, shape):
    """A zip of an array whose header says another shape than its bytes have."""
    member = io.BytesIO()
    form = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, form)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, member.getvalue() + bytes(80))


def pickled(path, name):
    """A zip of an array of Python objects."""
    member = io.BytesIO()
    np.save(member, np.array([{}], object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, member.getvalue())


# What is wrong with any file of arrays, by the name of the array that is asked for.
ARRAYS = {
    "nothing": lambda path, name: path.write_bytes(b""),
    "text": lambda path, name: path.write_text("no arrays"),
    "a pickle": lambda path, name: path.write_bytes(pickle.dumps([1])),
    "an empty zip": lambda path, name: zipfile.ZipFile(path, "w").close(),
    "a folder": lambda path, name: path.mkdir(),
    "a pipe": lambda path, name: os.mkfifo(path),
    "a link to itself": lambda path, name: path.symlink_to(path),
    "a bomb": lambda path, name: bomb(path, f"{name}.npy"),
    "objects": lambda path, name: pickled(path, f"{name}.npy"),
    "a huge shape": lambda path, name: claims(path, f"{name}.npy", (10**13,)),
    "a negative shape": lambda path, name: claims(path, f"{name}.npy", (-1,)),
    "too few bytes": lambda path, name: claims(path, f"{name}.npy", (99,)),
    "encrypted": lambda path, name: (
        write_arrays(path, {name: np.arange(9)}),
        marked(path, 6, 1),
    ),
    "packed in another way": lambda path, name: (
        write_arrays(path, {name: np.arange(9)}),
        marked(path, 8, 99),
    ),
    "another array": lambda path, name: write_arrays(path, {"other": np.arange(9)}),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_are_none(case, tmp_path):
    ARRAYS[case](tmp_path / "rows.npz", "rows")
    refusal(load_records, tmp_path / "rows.npz")
    ARRAYS[case](tmp_path / "vectors.npz", "vectors")
    refusal(lambda path: load_array(stamped(path), IDS), str(tmp_path / "vectors.npz"))


RECORD = made_record(0, users=6, items=9)
ROW = {"arm": "a", "swept": {}, "seed": 0, "reason": "", "history": None}


def _stored(path, change):
    """Records of one run whose arrays, and whose line, are changed."""
    arrays, line, stacks = pack(RECORD), {**ROW, "record": {}}, Stacks()
    change(arrays, line)
    if line.get("record") == {}:
        line["record"] = {name: stacks.put(name, one) for name, one in arrays.items()}
    save_stored(path, {}, stacks.arrays(), types=stacks.types(), rows=[line])


RECORDS = {
    "no ranks": lambda arrays, line: arrays.pop("rank"),
    "fewer ranks": lambda arrays, line: arrays.update(rank=arrays["rank"][:-1]),
    "ranks of another shape": lambda arrays, line: arrays.update(
        rank=arrays["rank"][:, None]
    ),
    "ranks that are numbers": lambda arrays, line: arrays.update(
        rank=arrays["rank"] / 2.0
    ),
    "exposure of other items": lambda arrays, line: arrays.update(
        exposure=arrays["exposure"][:, :-1]
    ),
    "one cut-off too few": lambda arrays, line: arrays.update(ks=arrays["ks"][1:]),
    "no arm": lambda arrays, line: line.pop("arm"),
    "no record": lambda arrays, line: line.pop("record"),
    "a list as record": lambda arrays, line: line.update(record=[1]),
    "an unknown entry": lambda arrays, line: line.update(knob=1),
    "text as history": lambda arrays, line: line.update(history="x"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_records_of_another_form(case, tmp_path):
    _stored(tmp_path / "a.npz", lambda arrays, line: None)
    assert len(load_records(tmp_path / "a.npz")) == 1
    _stored(tmp_path / "b.npz", RECORDS[case])
    refusal(load_records, tmp_path / "b.npz")


STACKS = {
    "no types": lambda content: content.pop("types"),
    "a list as types": lambda content: content.update(types=[]),
    "an unknown type": lambda content: content.update(types=dict.fromkeys("a", "x9")),
    "objects": lambda content: content.update(
        types=dict.fromkeys(content["types"], "O")
    ),
    "a wider type": lambda content: content.update(
        types=dict.fromkeys(content["types"], "<f8")
    ),
    "a place too far": lambda content: content["rows"][0]["record"].update(
        rank=[content["rows"][0]["record"]["rank"][0], 7]
    ),
    "no such stack": lambda content: content["rows"][0]["record"].update(rank=["b", 0]),
    "half a place": lambda content: content["rows"][0]["record"].update(rank=["a0"]),
}


@pytest.mark.parametrize("case", STACKS)
def test_stacks_of_another_form(case, tmp_path):
    path = save_records(tmp_path / "a.npz", [RunResult("a", {}, 0, RECORD)])
    stored = load_stored(path)
    STACKS[case](stored.content)
    save_stored(tmp_path / "b.npz", {}, stored.arrays, **stored.content)
    refusal(load_records, tmp_path / "b.npz")


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "[" * 10**5, '{"layout": 1}'])
def test_records_whose_json_is_none(text, tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, {"rows": np.frombuffer(text.encode(), np.uint8)})
    refusal(load_records, path)


def test_damaged_records(tmp_path):
    path = save_records(tmp_path / "a.npz", [RunResult("a", {}, 0, RECORD)])

    def check():
        if read := outcome(load_records, path):
            np.testing.assert_array_equal(read[0].record.rank, RECORD.rank)
            np.testing.assert_array_equal(read[0].record.exposure, RECORD.exposure)

    for_each_damage(path, check)


def test_a_damaged_cache_is_never_used(tmp_path, capsys):
    ratings = load("ml-100k", str(write_100k(tmp_path)))
    root, said = tmp_path / "kept", []
    write_cached(root, ratings)
    (path,) = root.iterdir()

    def check():
        read = read_cached(root, "ml-100k")
        assert read is None or read.digest == ratings.digest
        said.append("isn't used" in capsys.readouterr().err)
        assert said[-1] == (read is None)

    for_each_damage(path, check)
    assert any(said)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model of made numbers, saved."""
    vectors = np.ones((7, 4), np.float32)
    params = {"tables": {"item": vectors}, "user": {"a": {"b": vectors}}, "item": {}}
    model = SavedModel(
        Config(dim=4), params, IDS, IDS, np.ones(7, int), vectors, 0.1, True,
        {"dataset": "made"},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("saved")
    save_model(model, folder)
    return folder


@pytest.mark.parametrize("end", ["json", "npz"])
def test_a_damaged_model(end, saved):
    (path,) = saved.glob(f"*.{end}")

    def check():
        if (read := outcome(load_model, saved)) is not None:
            assert read.config == Config(dim=4)
            assert read.item_vectors.tolist() == [[1.0] * 4] * 7

    for_each_damage(path, check)
    assert load_model(saved).config == Config(dim=4)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "[" * 10**5, '{"format": 1}'])
def test_a_model_whose_json_is_none(text, tmp_path):
    (tmp_path / HEADER).write_text(text)
    refusal(load_model, tmp_path)


def test_a_model_names_no_file_elsewhere(saved, tmp_path):
    from research.saved.files import _canonical, _digest

    header = json.loads((saved / HEADER).read_text())
    del header["digest"]
    header["arrays"] = str(saved / header["arrays"])  # outside the folder below
    digest = _digest(_canonical(header))
    (tmp_path / HEADER).write_text(json.dumps({**header, "digest": digest}))
    refusal(load_model, tmp_path)


FILTERS = (
    *("", " ", "arm", "3", "arm ==", "arm = 'a'", "k <", "(", "k < 3)", "nope == 1"),
    *("arm is 'a'", "arm is not None", "k + 1 < 3", "f(k) < 1", "k.real < 1"),
    *("[k for k in k]", "lambda: 0", "k if k else k", "k := 3", "-arm < 'a'"),
    *("__import__('os').system('x') == 0", "k < 3; k", "k < 3\nk", "k < `3`", "\0"),
    *("not " * 5000 + "k", "(" * 5000, "k < " * 5000 + "3", "k<9" + "9" * 5000),
    *("k == {[]: 1}", "k == f'{k}'", "k < 3 and", "k < 3 or arm", "import os", "k\\"),
    *("<script>", "k < 3 # and", "x" * 100_000, "k == 'a", "k & 3", "k ** 9 ** 9 < 1"),
)


@pytest.mark.parametrize("text", FILTERS, ids=range(len(FILTERS)))
def test_a_filter_is_refused_or_says_yes_or_no(text):
    keep = outcome(parse_filter, text, ["arm", "k"])
    if keep is None:
        refusal(parse_filter, text, ["arm", "k"])
    else:
        assert text in ("k < 3 # and", "k < " * 5000 + "3")
        assert keep({"arm": "a", "k": 2}) in (True, False)


@many
@given(st.text("ak <>=!'\"()[],.0123456789andornoti\\#_-+*:{}`|\n", max_size=40))
def test_any_text_as_a_filter(text):
    if keep := outcome(parse_filter, text, ["a", "k"]):
        assert keep({"a": "x", "k": 2}) in (True, False)
        assert keep({"a": None, "k": float("nan")}) in (True, False)
