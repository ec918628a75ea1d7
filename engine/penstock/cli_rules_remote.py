"""``penstock policy``, ``classify`` and ``dkim dns`` by what the daemon that ``--url`` names has.

Without it they read the files here, and need no daemon.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from penstock.cli_common import ask_remote
from penstock.cli_http import Remote
from penstock.events.recorded import BadRecord, object_of
from penstock.feedback.answers import BadQuestion, check_question

_REPLIES_MAX = 1000  # in one call
_REPLAY_S = 600.0
Fields = dict[str, Any]


def replay(remote: Remote, path: str) -> Fields:
    """What is in the log ``path`` (``-``: standard input), by the rules in force there."""
    with nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as stream:
        found: Fields = ask_remote(
            remote, "policies.replay", {}, _REPLAY_S, body=stream, kind="text/plain"
        )
    return found


def report(remote: Remote, path: str) -> Fields:
    """What the mail in the file at ``path`` reports. Raises ``OSError`` for the file."""
    with Path(path).open("rb") as file:
        found = ask_remote(remote, "classify.report", {}, body=file, kind="message/rfc822")
    return {"file": Path(path).name, **found}


def replies(
    remote: Remote, lines: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, Fields | BadRecord]]:
    """For each line, by its number, what its reply means, or why it cannot be read."""
    while some := list(islice(lines, _REPLIES_MAX)):
        found: dict[int, Fields | BadRecord] = {}
        asked: list[tuple[int, Fields]] = []
        for number, line in some:
            try:
                asked.append((number, check_question(object_of(line))))
            except (BadRecord, BadQuestion) as error:
                found[number] = BadRecord(str(error))
        if asked:
            params = {"replies": [_question(one) for _, one in asked]}
            answers = ask_remote(remote, "classify.replies", params)["replies"]
            for (number, one), answer in zip(asked, answers, strict=True):
                found[number] = {**one, **answer}
        yield from sorted(found.items())


def _question(line: Fields) -> Fields:
    """What of it is of concern to the rules."""
    return {name: line[name] for name in ("reply", "provider", "phase") if line.get(name)}
