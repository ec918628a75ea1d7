"""``penstock suppression import`` and ``export``: whole lists in and out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli_common import (
    CONFIG,
    FAILED,
    WRONG,
    CommandError,
    Config,
    asking,
    load_settings,
    remote,
)
from penstock.cli_suppression_common import (
    GLOBAL_WORD,
    OneTenant,
    Reason,
    Scope,
    Tenant,
    Why,
    note_of,
    open_store,
    open_writer,
    scope_of,
    selected,
    some,
)

if TYPE_CHECKING:
    from penstock.suppression.entry import Entry
    from penstock.suppression.rows import Form, Row
    from penstock.suppression.transfer import Progress

FileForm = Annotated[str, typer.Option("--format", "-f", help="csv or ndjson; else by its name.")]
_BAD_SHOWN_MAX = 1000


@asking
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help='CSV or NDJSON; "-": from stdin.')],
    form: FileForm = "",
    tenant: OneTenant = "",
    scope: Scope = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Of rows without one.")] = "",
    why: Why = "",
    config: Config = CONFIG,
) -> None:
    """Take in a list, also those that other sending services export."""
    elsewhere = remote()
    if elsewhere is not None:
        from penstock import cli_suppression_remote as there

        params = {"tenant": tenant, "scope": scope, "reason": reason, "name": file.name}
        found = there.import_(elsewhere, file, form_of(form, file), params, why)
        for row in found["problems"]:
            typer.echo(f"line {row['line']}: {row['problem']}", err=True)
        _imported(found["rows"], found["bad"], found["written"], found["new"])
        return
    from penstock.suppression.configure import suppression_rules
    from penstock.suppression.rows import Meaning, read_rows
    from penstock.suppression.transfer import import_rows

    settings = load_settings(config)
    kind = form_of(form, file)
    name = "" if tenant == GLOBAL_WORD else tenant
    note = note_of("import", why, name, {"file": str(file)})
    teller = _Teller()
    source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    with source, open_writer(settings) as writer:
        meaning = Meaning(
            writer.store.spelling,
            suppression_rules(settings),
            time.time(),
            name,
            None if scope is None else scope_of(scope),
            reason,
        )
        rows = read_rows(source, kind, meaning)
        done = import_rows(writer, rows, bad=teller.bad, progress=teller.progress, note=note)
    teller.end()
    _imported(done.rows, done.bad, done.written, done.new)


def _imported(rows: int, bad: int, written: int, new: int) -> None:
    typer.echo(
        f"{some(rows, 'row', 'rows')}: {rows - bad} taken, {bad} not; "
        f"{some(written, 'address', 'addresses')}, {new} of them with something new"
    )
    if bad:
        raise typer.Exit(FAILED)


@asking
def export(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Else to standard output.")] = Path(
        "-"
    ),
    form: FileForm = "",
    tenant: Tenant = None,
    scope: Scope = None,
    reason: Reason = None,
    config: Config = CONFIG,
) -> None:
    """Write the list, or a part of it, as a file that import takes."""
    from penstock.suppression.transfer import export_entries

    kind = form_of(form, file)
    elsewhere = remote()
    if elsewhere is not None:
        from penstock import cli_suppression_remote as there

        filters = {"tenant": tenant, "scope": scope, "reason": reason}
        count = there.export(elsewhere, filters, kind, file)
        if str(file) != "-":
            typer.echo(f"{some(count, 'entry', 'entries')} in {file}", err=True)
        return
    with open_store(load_settings(config)) as store:
        entries = selected(store, tenant, scope, reason)
        if str(file) == "-":
            export_entries(entries, sys.stdout, kind)
            return
        aside = file.with_name(f"{file.name}.new")
        with aside.open("w", encoding="utf-8", newline="") as out:
            count = export_entries(_watched(entries), out, kind)
        os.replace(aside, file)
    typer.echo(f"{some(count, 'entry', 'entries')} in {file}", err=True)


class _Teller:
    """What an import says on standard error: bad rows, and how far it is where somebody looks."""

    def __init__(self) -> None:
        self._shown = 0
        self._live = sys.stderr.isatty()
        self._next = 0.0

    def bad(self, row: Row) -> None:
        self._shown += 1
        if self._shown <= _BAD_SHOWN_MAX:
            typer.echo(f"line {row.line}: {row.problem}", err=True)
        elif self._shown == _BAD_SHOWN_MAX + 1:
            typer.echo("more lines are wrong, which are only counted", err=True)

    def progress(self, done: Progress) -> None:
        now = time.monotonic()
        if self._live and now >= self._next:
            self._next = now + 0.2
            typer.echo(f"\r{done.rows:,} rows read, {done.written:,} written", err=True, nl=False)

    def end(self) -> None:
        if self._live:
            typer.echo("\r\x1b[K", err=True, nl=False)


def _watched(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Says on a terminal how far it is."""
    live = sys.stderr.isatty()
    for count, entry in enumerate(entries, 1):
        if live and count % 20_000 == 0:
            typer.echo(f"\r{count:,} entries", err=True, nl=False)
        yield entry
    if live:
        typer.echo("\r\x1b[K", err=True, nl=False)


def form_of(given: str, file: Path) -> Form:
    if given in ("csv", "ndjson"):
        return "csv" if given == "csv" else "ndjson"
    if given:
        raise CommandError(f"--format is csv or ndjson, not {given!r}", WRONG)
    return "ndjson" if file.suffix in (".ndjson", ".jsonl", ".json") else "csv"
