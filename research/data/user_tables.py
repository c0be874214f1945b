"""The tables of users, line by line: they are small, and errors name a line."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from research.data.places import Place
from research.data.rows import Line, fields_of, malformed, new_id

__all__ = ["UserRow", "read_u_user", "read_users", "read_users_dat"]

AGE_LIMIT = 150  # years: above it a field has slipped


class UserRow(NamedTuple):
    """One user as the source gives them; strings are empty where unknown."""

    id: int
    gender: str
    age: int
    occupation: str
    zip: str


def read_u_user(place: Place) -> list[UserRow]:
    """100K's u.user: id|age|gender|occupation|zip."""
    lines = fields_of(place, "u.user", "|", 5)
    return _users((w, [f[0], f[2], f[1], f[3], f[4]]) for w, f in lines)


def read_users_dat(place: Place) -> list[UserRow]:
    """1M's users.dat: id::gender::age::occupation::zip; occupation is a code, kept."""
    return _users(fields_of(place, "users.dat", "::", 5))


def read_users(place: Place) -> list[UserRow]:
    """The wheel's ml-100k.user: id, age, gender, occupation, zip between tabs."""
    lines = fields_of(place, "ml-100k.user", "\t", 5, header=True)
    return _users((w, [f[0], f[2], f[1], f[3], f[4]]) for w, f in lines)


def _users(lines: Iterable[Line]) -> list[UserRow]:
    rows: dict[int, UserRow] = {}
    for where, fields in lines:
        key, gender, age, occupation, code = (field.strip() for field in fields)
        if gender not in ("M", "F", ""):
            raise malformed(where, "gender M or F", gender)
        if not re.fullmatch(r"[0-9]{1,3}", age) or int(age) > AGE_LIMIT:
            raise malformed(where, "an age in years", age)
        user = new_id(where, "a user id", key, rows)
        rows[user] = UserRow(user, gender, int(age), occupation, code)
    return list(rows.values())
