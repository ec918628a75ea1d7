"""``penstock spool``: look into a spool offline. Nothing in it is changed."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli_common import CONFIG, FAILED, CommandError, Config, command, load_settings

if TYPE_CHECKING:
    from penstock_queue import Report

app = typer.Typer(no_args_is_help=True)

Directory = Annotated[
    str, typer.Argument(metavar="[DIR]", help="A spool, or one shard; else the settings' spool.")
]


@app.command()
@command
def check(directory: Directory = "", config: Config = CONFIG) -> None:
    """Verify every record; exit 1 where something is damaged."""
    from penstock_queue import RealDisk
    from penstock_queue import check as check_shard

    good = True
    for shard in _shards(directory, config):
        with _open_errors(shard):
            report = check_shard(shard, RealDisk())
        _print_report(shard, report)
        good = good and report.ok
    if not good:
        raise typer.Exit(FAILED)


@app.command()
@command
def dump(
    directory: Directory = "",
    config: Config = CONFIG,
    bodies: Annotated[bool, typer.Option("--bodies", help="Message content too.")] = False,
) -> None:
    """Print every record as a line of JSON, in the order of the log."""
    from penstock_queue import RealDisk
    from penstock_queue import dump as dump_shard

    for shard in _shards(directory, config):
        name = os.path.basename(os.path.abspath(shard))
        with _open_errors(shard):
            for record in dump_shard(shard, RealDisk(), bodies=bodies):
                typer.echo(json.dumps({"shard": name, **record}, default=_text))


def _shards(directory: str, config: str) -> list[str]:
    """The shard directories that are meant."""
    spool = directory or load_settings(config).spool
    if not os.path.isdir(spool):
        raise CommandError(f"{spool}: no such directory")
    shards = sorted(glob.glob(os.path.join(glob.escape(spool), "shard-[0-9]*")))
    if shards:
        return shards
    if not directory:
        raise CommandError(f"{spool}: no shards; was the daemon ever started?")
    return [directory]


@contextmanager
def _open_errors(shard: str) -> Iterator[None]:
    from penstock_queue import QueueError, QueueLocked

    try:
        yield
    except QueueLocked:
        raise CommandError(f"{shard}: a daemon has it open; stop it first") from None
    except QueueError as error:
        raise CommandError(f"{shard}: {error}") from None


def _print_report(shard: str, report: Report) -> None:
    records = ", ".join(f"{count} {kind}" for kind, count in sorted(report.records.items()))
    typer.echo(f"{shard}: {'good' if report.ok else 'DAMAGED'}")
    typer.echo(f"  {report.segments} segments, {report.bytes} bytes: {records or 'no records'}")
    typer.echo(
        f"  live: {report.live_entries} recipients of {report.live_bodies} messages, "
        f"{report.live_bytes} bytes"
    )
    for cut in report.torn:
        typer.echo(
            f"  torn tail, the next start cuts it: {cut.file}: {cut.bytes} bytes at {cut.offset}"
        )
    for cut in report.damaged:
        typer.echo(f"  damaged, the next start sets it aside: {cut}")
    if report.orphans:
        typer.echo(f"  {report.orphans} recipients whose message is gone")
    for name in report.quarantine_files:
        typer.echo(f"  set aside earlier: {name}")
    for name in report.foreign:
        typer.echo(f"  not ours: {name}")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
