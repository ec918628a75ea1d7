"""``penstock events``: what happened, read from the logs themselves; no daemon need run."""

from __future__ import annotations

import contextlib
import heapq
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, get_args

import typer

from penstock.cli_common import (
    CONFIG,
    WRONG,
    AsJson,
    CommandError,
    Config,
    asking,
    load_settings,
    remote,
)
from penstock.events.reading import LogReader, Position, log_directories
from penstock.events.segments import time_of
from penstock.events.telling import Wanted, read, told

POLL_S = 0.2
_LOOK_FOR_LOGS_S = 2.0
_BYTES = 256 << 10


class Follower:
    """All logs of a spool, from ``since`` on; 0: from their beginning, ``None``: from now on."""

    def __init__(self, spool: str, since: float | None) -> None:
        self._spool, self._since = spool, since
        self._logs: dict[str, tuple[LogReader, Position]] = {}
        self.look()

    @property
    def names(self) -> list[str]:
        return list(self._logs)

    def look(self) -> None:
        """Logs that were not there before are read too, from their beginning."""
        for name, directory in log_directories(self._spool).items():
            if name not in self._logs:
                reader = LogReader(directory)
                self._logs[name] = reader, self._first(reader)
        if self._since is None:
            self._since = 0.0

    def _first(self, reader: LogReader) -> Position:
        if self._since is None:
            return reader.end()
        return reader.at(self._since) if self._since else reader.start()

    def lines(self) -> Iterator[bytes]:
        """What there is now, of all logs in the order of time."""
        yield from heapq.merge(*map(self._of, self.names), key=time_of)

    def _of(self, name: str) -> Iterator[bytes]:
        while True:
            reader, position = self._logs[name]
            lines, position = reader.read(position, _BYTES)
            self._logs[name] = reader, position
            if not lines:
                return
            yield from lines


def show(
    follower: Follower,
    wanted: Wanted,
    write: Callable[[str], None],
    *,
    since: float,
    as_json: bool,
) -> bool:
    """Write what is meant of all there is now; False: the time asked for is over."""
    for line in follower.lines():
        if wanted.until and time_of(line) >= wanted.until:
            return False
        event = read(line) if wanted.maybe(line) else None
        if event is None or not wanted.fits(event) or (since and time_of(line) < since):
            continue
        write(line.decode("utf-8", "replace") if as_json else told(event))
    return True


def moment(text: str, now: float) -> float:
    """``2h`` (ago) or a time, in seconds since the epoch; 0 for nothing."""
    from penstock.intake.moment import parse_moment
    from penstock.policy.units import parse_duration

    if not text:
        return 0.0
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_moment(text, now)
    except ValueError as error:
        raise CommandError(f'"{text}" {error}; or how long ago, "2h"', WRONG) from None


def type_names() -> list[str]:
    from penstock.events.records import AnyEvent

    return [str(one.__struct_config__.tag) for one in get_args(AnyEvent)]


@asking
def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    message: Annotated[str, typer.Option(metavar="ID", help="Only of this message.")] = "",
    recipient: Annotated[str, typer.Option(metavar="ADDRESS", help="Only to this address.")] = "",
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    campaign: Annotated[str, typer.Option(help="Only of this campaign.")] = "",
    type_: Annotated[str, typer.Option("--type", help="Only of this type, such as bounced.")] = "",
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From then on: 2h (ago), or RFC 3339.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Before then; as --since.")] = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what became of messages, oldest first; with --json as the log has it, a line each."""
    if type_ and type_ not in type_names():
        raise CommandError(f"--type: no {type_!r}; there are {', '.join(type_names())}", WRONG)
    now = time.time()
    first, last = moment(since, now), moment(until, now)

    def write(text: str) -> None:
        sys.stdout.write(text + "\n")
        if follow:
            sys.stdout.flush()

    elsewhere = remote()
    if elsewhere is not None:
        from penstock.cli_events_remote import show_remote

        filters = {"message": message, "recipient": recipient, "tenant": tenant}
        filters |= {"campaign": campaign, "type": type_}
        with contextlib.suppress(KeyboardInterrupt):
            show_remote(elsewhere, filters, first, last, write, follow=follow, as_json=as_json)
        return
    wanted = Wanted(message.lower(), recipient, tenant, campaign, type_, last)
    follower = Follower(load_settings(config).spool, None if follow and not since else first)
    if not follower.names and not follow:
        raise CommandError("there is no event log; is [events] turned on, and did a daemon run?")
    looked = time.monotonic()
    try:
        while show(follower, wanted, write, since=first, as_json=as_json) and follow:
            sys.stdout.flush()
            time.sleep(POLL_S)
            if time.monotonic() - looked >= _LOOK_FOR_LOGS_S:
                looked = time.monotonic()
                follower.look()
    except KeyboardInterrupt:
        pass
    sys.stdout.flush()
