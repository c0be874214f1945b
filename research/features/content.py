"""Features made of columns and files: codes, numbers, vectors."""

import hashlib
import importlib.util
import itertools
import re
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from research.data.places import check_regular, safe_arrays
from research.features import Codes, Request
from research.files import DAMAGED
from research.types import Column, InputError, Table

AGE_CLASSES = (18, 25, 35, 45, 50, 56)  # years: the lower ends that MovieLens 1M uses
NO_DIGIT = "-"
TEXT_DIM = 32
TEXT_HASHES = 4096
_STAMP = re.compile(r"^(.*)#([0-9a-f]{12})$")


def places(values: ndarray, reference: ndarray) -> Int[ndarray, " n"]:
    """Where each value stands in the reference, which repeats none; its length if not.

    >>> places(np.array([7, 5, 6]), np.array([5, 7])).tolist()
    [1, 0, 2]
    """
    if not len(reference):
        return np.zeros(len(values), np.int64)
    order = np.argsort(reference, kind="stable")
    at = np.searchsorted(reference, values, sorter=order)
    found = order[np.minimum(at, len(reference) - 1)]
    return np.where(reference[found] == values, found, len(reference))


def identity(request: Request) -> Codes:
    """A row for each user or item."""
    ids = request.reference.id
    return Codes(places(request.table.id, ids), len(ids))


def category(request: Request) -> Codes:
    """A row for each category that occurs; a missing one has a row too."""
    return _codes(request.column.values, request.reference_column.values)


def age_class(request: Request) -> Codes:
    """A row for each class of age, and a last one for a missing age.

    A class that the reference lacks has none of them.
    """

    def classes(column: Column) -> Int[ndarray, " n"]:
        code = np.digitize(column.values, AGE_CLASSES)
        code[column.missing] = len(AGE_CLASSES) + 1
        return code

    code, known = classes(request.column), classes(request.reference_column)
    rows = int(known.max()) + 1
    return Codes(np.where(np.isin(code, known), code, rows), rows)


def first_digit(request: Request) -> Codes:
    """A row for each first digit, and one for all that begins otherwise."""

    def digits(column: Column) -> ndarray:
        values = column.values.astype(np.str_)
        return np.array([v[:1] if v[:1].isdigit() else NO_DIGIT for v in values])

    return _codes(digits(request.column), digits(request.reference_column))


def decade(request: Request) -> Codes:
    """A row for each decade that occurs; a missing year counts as one."""

    def decades(column: Column) -> ndarray:
        return np.where(column.missing, 0, column.values) // 10

    return _codes(decades(request.column), decades(request.reference_column))


def number(request: Request) -> Float[ndarray, "n f"]:
    """Numbers of mean 0 and standard deviation 1; a missing one is 0.

    Where some are missing, a second column is 1 for these.
    """
    column, reference = request.column, request.reference_column
    present = reference.values[~reference.missing].astype(np.float64)
    values = column.values.astype(np.float64)
    scaled = (values - present.mean()) / max(float(present.std()), 1e-9)
    scaled = np.where(column.missing, 0.0, scaled)
    columns = [scaled, column.missing] if reference.missing.any() else [scaled]
    return np.stack(columns, axis=1).astype(np.float32)


def categories(request: Request) -> Float[ndarray, "n g"]:
    """A column for each category, 1 where it is among the row's."""
    return request.column.values.astype(np.float32)


def _codes(values: ndarray, reference: ndarray) -> Codes:
    """A row for each value that the reference has."""
    present = np.unique(reference)
    return Codes(places(values, present), len(present))


def check_text(request: Request) -> None:
    """Refuses texts that can't be turned into vectors.

    Raises:
      InputError: scikit-learn isn't installed, or there are too few rows.
    """
    needs = f"{request.side} feature '{request.name}' needs"
    if importlib.util.find_spec("sklearn") is None:
        raise InputError(f"{needs} scikit-learn: install it")
    if len(request.reference.id) <= TEXT_DIM:
        raise InputError(f"{needs} more than {TEXT_DIM} {request.side}s")


def text_vectors(request: Request) -> Float[ndarray, "n d"]:
    """Texts as hashed words and pairs of words, by a truncated SVD; rows of length 1.

    Words are weighed by how rare they are among the texts. The same texts give the
    same vectors: the SVD's start is fixed. A text without words has a row of zeros.

    Raises:
      InputError: see check_text.
    """
    check_text(request)
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hashing = HashingVectorizer(
        n_features=TEXT_HASHES, ngram_range=(1, 2), alternate_sign=False, norm=None
    )
    weighing, reducing = TfidfTransformer(), TruncatedSVD(TEXT_DIM, random_state=0)
    texts = hashing.transform(request.reference_column.values.tolist())
    vectors = reducing.fit_transform(weighing.fit_transform(texts))
    if request.fitted is not None:
        others = hashing.transform(request.column.values.tolist())
        vectors = reducing.transform(weighing.transform(others))
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-9)).astype(np.float32)


def item_array(request: Request) -> Float[ndarray, "i d"]:
    """The vectors in the config's item_array, a file; see load_array."""
    return load_array(request.config.item_array, request.events.items)


def stamped(name: str) -> str:
    """The file's name with a digest of its content, so that a run names its input.

    A name that has a stamp already stays as it is.

    Raises:
      InputError: the file can't be read.
    """
    if not name or _STAMP.match(name):
        return name
    return f"{name}#{_digest(Path(name))}"


def unstamped(name: str) -> Path:
    """The file of a stamped name.

    Raises:
      InputError: its content has changed, or it can't be read.
    """
    parts = _STAMP.match(name)
    if parts is None:
        return Path(name)
    path = Path(parts[1])
    if _digest(path) != parts[2]:
        raise InputError(f"{path} has changed since the run was described")
    return path


def _digest(path: Path) -> str:
    check_regular(path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def load_array(name: str, items: Table) -> Float[ndarray, "i d"]:
    """Vectors of items from a file: one row per item, in the order of the table.

    A .npy file has a row for each item of the catalogue, by ascending id. A .npz file
    has ``ids`` and ``vectors``; ids that the catalogue lacks are left out. The rows are
    divided by their root mean square length, to have the scale of other features.

    Raises:
      InputError: a file of another form, an item without a row, an id with two, or a
        value that isn't finite.
    """
    path = unstamped(name)
    check_regular(path)
    if zipfile.is_zipfile(path):
        arrays = safe_arrays(path)
        if {"ids", "vectors"} - set(arrays):
            raise InputError(f"{path}: expected arrays named ids and vectors")
        return _rows(path, arrays["vectors"], arrays["ids"], items)
    try:
        loaded = np.load(path, allow_pickle=False)
    except DAMAGED:
        raise InputError(
            f"{path}: not an array of numbers in the format .npy or .npz"
        ) from None
    if loaded.shape[:1] != items.names.shape:
        rows = loaded.shape[0] if loaded.ndim else 0
        raise InputError(
            f"{path}: {rows} rows, the catalogue has {len(items.id)} items: expected "
            "one row per item by ascending id, or a .npz with ids"
        )
    ids = np.sort(items.names)
    if items.text is not None and _counted_otherwise(ids):
        raise InputError(
            f"{path}: rows by ascending id are ambiguous where ids are digits read as "
            f"text ({', '.join(ids[:3])}, ...): expected a .npz with ids"
        )
    return _rows(path, loaded, ids, items)


def _counted_otherwise(ids: ndarray) -> bool:
    """Whether ids are digits whose order as texts isn't that of the numbers.

    >>> _counted_otherwise(np.array(["1", "10", "2"]))
    True
    >>> _counted_otherwise(np.array(["a1", "a10", "a2"]))
    False
    """
    if not all(name.isdecimal() for name in ids):
        return False
    return any(int(a) > int(b) for a, b in itertools.pairwise(ids))


def _rows(path: Path, vectors: ndarray, ids: ndarray, items: Table) -> ndarray:
    if vectors.ndim != 2 or not vectors.shape[1] or vectors.shape[:1] != ids.shape:
        raise InputError(
            f"{path}: vectors of shape {list(vectors.shape)} for {ids.size} ids: "
            "expected a row of numbers per item"
        )
    if vectors.dtype.kind not in "fiub":
        raise InputError(f"{path}: values of type {vectors.dtype}, expected numbers")
    if items.text is not None and ids.dtype.kind in "iu":
        ids = ids.astype(str)
    ordered, by_id = np.unique(ids, return_index=True)
    if len(ordered) < len(ids):
        raise InputError(f"{path}: an id has two rows")
    missing = ~np.isin(items.names, ordered)
    if missing.any():
        raise InputError(
            f"{path}: no row for {missing.sum()} items, item {items.names[missing][0]} "
            "among them"
        )
    rows = vectors[by_id[np.searchsorted(ordered, items.names)]].astype(np.float32)
    if not np.isfinite(rows).all():
        item = items.names[~np.isfinite(rows).all(axis=1)][0]
        raise InputError(f"{path}: item {item} has a number that isn't finite")
    scale = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1).mean())
    return (rows / max(scale, 1e-9)).astype(np.float32)
