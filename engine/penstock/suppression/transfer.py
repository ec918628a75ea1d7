"""Whole lists in and out: import in sorted transactions, export as a stream.

An import that is killed has left whole transactions and nothing half done; made again it comes to
the same, since an entry replaces the one of its tenant, scope and reason.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import msgspec

from penstock.suppression.columns import moment_text
from penstock.suppression.entry import Entry, pack, unpack
from penstock.suppression.rows import Form, Row
from penstock.suppression.runs import RUN_PAIRS, Pair, SortedRuns
from penstock.suppression.writer import SuppressionWriter, key_of

TRANSACTION_KEYS = 20_000
_PROGRESS_ROWS = 10_000
HEADER = ("address", "tenant", "scope", "reason", "since", "until", "cause")


@dataclass(slots=True)
class Progress:
    """Rows read, and of them wrong; addresses written (each once a tenant), and of them new."""

    rows: int = 0
    bad: int = 0
    written: int = 0
    new: int = 0


def import_rows(
    writer: SuppressionWriter,
    rows: Iterable[Row],
    *,
    bad: Callable[[Row], None] = lambda row: None,
    progress: Callable[[Progress], None] = lambda progress: None,
    note: Mapping[str, Any] | None = None,
    run_pairs: int = RUN_PAIRS,
) -> Progress:
    """Take the rows that are right; ``bad`` hears of each other one. ``note`` is written with the
    first transaction, and again with the sum of it all in the last."""
    done = Progress()
    with SortedRuns(writer.store.directory, run_pairs) as runs:
        for row in rows:
            done.rows += 1
            if row.problem:
                done.bad += 1
                bad(row)
            for entry in row.entries:
                runs.add((key_of(entry.address, entry.tenant), pack((entry,))))
            if done.rows % _PROGRESS_ROWS == 0:
                progress(done)
        begun = note
        for chunk in _chunks(iter(runs)):
            _write(writer, chunk, done, begun)
            begun = None
            progress(done)
    if note is not None and done.written:
        selector = {**note.get("selector", {}), "rows": done.rows, "bad": done.bad, "new": done.new}
        with writer.change() as change:
            change.note({**note, "action": f"{note['action']} done", "selector": selector})
    return done


def _chunks(pairs: Iterator[Pair]) -> Iterator[list[tuple[bytes, list[bytes]]]]:
    """Some keys at a time, each with all of its values."""
    grouped = itertools.groupby(pairs, key=lambda pair: pair[0])
    while chunk := [
        (key, [value for _, value in same])
        for key, same in itertools.islice(grouped, TRANSACTION_KEYS)
    ]:
        yield chunk


def _write(
    writer: SuppressionWriter,
    chunk: list[tuple[bytes, list[bytes]]],
    done: Progress,
    note: Mapping[str, Any] | None,
) -> None:
    new = 0
    with writer.change() as change:
        last = change.last_key()
        for key, values in chunk:
            entries = [entry for value in values for entry in unpack("", "", value)]
            new += change.put_key(key, entries, last=last)
            last = max(last, key)
        if note is not None:
            change.note(note)
    done.written += len(chunk)
    done.new += new


def export_entries(entries: Iterable[Entry], to: TextIO, form: Form) -> int:
    """All of them, as :func:`penstock.suppression.rows.read_rows` reads them again; how many."""
    count = 0
    if form == "csv":
        out = csv.writer(to, lineterminator="\n")
        out.writerow(HEADER)
        for entry in entries:
            out.writerow(row_of(entry).values())
            count += 1
        return count
    encode = msgspec.json.Encoder().encode
    for entry in entries:
        to.write(encode(row_of(entry)).decode() + "\n")
        count += 1
    return count


def row_of(entry: Entry) -> dict[str, str]:
    """An entry by its columns, times as RFC 3339."""
    return {
        "address": entry.address,
        "tenant": entry.tenant,
        "scope": entry.scope,
        "reason": entry.reason,
        "since": moment_text(entry.since),
        "until": moment_text(entry.until),
        "cause": entry.cause,
    }
