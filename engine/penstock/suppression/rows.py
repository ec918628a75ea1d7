"""Lists from files: each row becomes entries, or a problem with the line where it stands.

CSV (with a header line, or a bare list of addresses) and NDJSON. Read as a stream, with a bound on
every line and field; a row that makes no sense is told and left out, and the rest goes on.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple

import msgspec

from penstock.suppression.columns import column_of, moment_of, reason_of, reason_of_file
from penstock.suppression.decide import SuppressionRules
from penstock.suppression.entry import Entry, problem_of

Form = Literal["csv", "ndjson"]
LINE_BYTES_MAX = 64 << 10
_DELIMITERS = ",;\t"


class Row(NamedTuple):
    """One row: its entries, their address in the one spelling; or what is wrong with it."""

    line: int
    entries: tuple[Entry, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What rows say that do not say it: ``tenant``; ``scope`` (``None``: as usual for the reason)
    and ``reason`` (``""``: as the columns tell). ``spelling``: the store's; ``now``: seconds since
    the epoch."""

    spelling: Callable[[str], str]
    rules: SuppressionRules
    now: float
    tenant: str = ""
    scope: str | None = None
    reason: str = ""


def read_rows(file: BinaryIO, form: Form, meaning: Meaning) -> Iterator[Row]:
    """All rows of the file; empty lines are none."""
    lines = _Lines(file)
    return _csv(lines, meaning) if form == "csv" else _ndjson(lines, meaning)


class _Lines:
    """Text lines; what is too long or no UTF-8 is left out and kept as a problem."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.bad: list[Row] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            line = self._file.readline(LINE_BYTES_MAX)
            if not line:
                raise StopIteration
            self.number += 1
            if self.number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = self._file.readline(LINE_BYTES_MAX)
                problem = f"longer than {LINE_BYTES_MAX} bytes"
            elif b"\0" in line:
                problem = "has a NUL byte"
            else:
                try:
                    return line.decode()
                except UnicodeDecodeError:
                    problem = "is not UTF-8"
            self.bad.append(Row(self.number, (), problem))

    def problems(self) -> Iterator[Row]:
        yield from self.bad
        self.bad.clear()


def _csv(lines: _Lines, meaning: Meaning) -> Iterator[Row]:
    first = next(lines, "")
    yield from lines.problems()
    delimiter = max(_DELIMITERS, key=first.count) if first else ","
    names = next(csv.reader([first], delimiter=delimiter), [])
    ours = [column_of(name) for name in names]
    otherwise = meaning.reason or "import"
    if "address" in ours:
        otherwise = meaning.reason or reason_of_file(names)
    elif names and "@" in names[0]:
        ours = ["address"]
        yield _row(1, {"address": names[0]}, meaning, otherwise)
    else:
        yield Row(1, (), "no column address (or email) in the first line, and no address either")
        return
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        begins = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield Row(begins, (), f"{error}, up to line {lines.number}")
            continue
        yield from lines.problems()
        if cells:
            fields = {name: cell for name, cell in zip(ours, cells, strict=False) if name}
            yield _row(begins, fields, meaning, otherwise)
    yield from lines.problems()


def _ndjson(lines: _Lines, meaning: Meaning) -> Iterator[Row]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for line in lines:
        yield from lines.problems()
        if not line.strip():
            continue
        try:
            found = decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield Row(lines.number, (), f"no JSON object: {error}")
            continue
        fields: dict[str, str] = {}
        for name, value in found.items():
            if (ours := column_of(name)) and value is not None:
                fields.setdefault(ours, value if isinstance(value, str) else str(value))
        yield _row(lines.number, fields, meaning, meaning.reason or reason_of_file(found))
    yield from lines.problems()


def _row(line: int, fields: Mapping[str, str], meaning: Meaning, otherwise: str) -> Row:
    try:
        address = fields.get("address", "").strip()
        if not address:
            return Row(line, (), "no address")
        address = meaning.spelling(address)
        given = fields.get("reason", "")
        # with a column cause it is a list of ours, whose reasons are as they stand
        reason = given if "cause" in fields and given else reason_of(given, otherwise)
        since = moment_of(fields.get("since", "")) or meaning.now
        ends = fields.get("until")
        until = meaning.rules.until(reason, since) if ends is None else moment_of(ends)
    except ValueError as error:
        return Row(line, (), str(error))
    tenant = fields["tenant"].strip() if "tenant" in fields else meaning.tenant
    if "scope" in fields:
        scopes: tuple[str, ...] = (fields["scope"].strip(),)
    elif meaning.scope is not None:
        scopes = (meaning.scope,)
    else:
        scopes = meaning.rules.scopes(reason)
    cause = fields.get("cause", "").strip()
    entries = tuple(Entry(address, tenant, scope, reason, cause, since, until) for scope in scopes)
    problem = next(filter(None, map(problem_of, entries)), "")
    return Row(line, () if problem else entries, problem)
