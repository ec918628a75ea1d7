"""``penstock events --url``: those of a daemon elsewhere, page by page, and then its stream."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

from penstock.cli_common import CommandError, ask_remote
from penstock.cli_http import BadUrl, Refused, Remote, opened
from penstock.events.telling import told

PAGE_EVENTS = 1000
_AGAIN_S = 2.0
_QUIET_S = 60.0  # more than the pause between two comments that keep a stream open
_LINE_BYTES_MAX = 4 << 20
Write = Callable[[str], None]


def show_remote(
    remote: Remote,
    filters: dict[str, str],
    since: float,
    until: float,
    write: Write,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    """``since`` and ``until``: seconds since the epoch, 0: from the beginning, to the end."""
    wanted = {name: value for name, value in filters.items() if value}
    cursor = ""
    if since or not follow:
        times = {"since": _text(since), "until": _text(until)}
        for page in _pages(remote, {**wanted, **times}):
            for event in page["events"]:
                write(line_of(event, as_json))
            cursor = page["next"]
    while follow:
        try:
            for identity, event in _stream(remote, wanted, cursor):
                cursor = identity
                write(line_of(event, as_json))
        except (OSError, TimeoutError):
            time.sleep(_AGAIN_S)  # it restarts, or the way is gone for a moment
        except (Refused, BadUrl) as error:
            raise CommandError(str(error)) from None


def _pages(remote: Remote, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    asked = {**params, "limit": PAGE_EVENTS}
    while True:
        page = ask_remote(remote, "events.list", asked)
        yield page
        if page["end"]:
            return
        asked["cursor"] = page["next"]


def _stream(
    remote: Remote, params: dict[str, str], cursor: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    headers = {"Last-Event-ID": cursor} if cursor else {}
    with opened(remote, "events.stream", params, _QUIET_S, headers) as stream:
        yield from messages(stream)


def messages(stream: IO[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id and the data of each message; as much as ours need of the HTML standard's 9.2.6."""
    identity, data = "", b""
    while line := stream.readline(_LINE_BYTES_MAX):
        field, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        if field == b"id":
            identity = value.decode()
        elif field == b"data":
            data += value
        elif not field and not value and data:
            yield identity, json.loads(data)
            data = b""


def line_of(event: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return told(event)


def _text(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None
