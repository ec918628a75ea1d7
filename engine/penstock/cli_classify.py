"""``penstock classify``: what replies and reports mean, by the rules of the policies; no daemon is
asked.

Replies go in as NDJSON on standard input and come out with what was found added, a line for a line;
of reports each file gives a line. What cannot be read is named on standard error, and the others
are answered all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from penstock.events.recorded import LINE_BYTES_MAX, BadRecord, object_of

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

__all__ = ["BadRecord", "lines_of", "object_of", "read_reply", "read_report"]


def read_report(classifier: Classifier, path: str) -> dict[str, Any]:
    """What the mail in the file at ``path`` reports. Raises ``OSError``."""
    from penstock.feedback.answers import of_report
    from penstock.feedback.report import ReportLimits

    limits = ReportLimits()
    with Path(path).open("rb") as file:
        content = file.read(limits.content_bytes_max)
    return {"file": Path(path).name, **of_report(classifier, content, limits)}


def lines_of(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, numbered from 1; of one that is too long the beginning."""
    number = 0
    while line := stream.readline(LINE_BYTES_MAX):
        number += 1
        if line.strip():
            yield number, line
        while line and not line.endswith(b"\n"):  # the rest of one that is too long
            line = stream.readline(LINE_BYTES_MAX)


def read_reply(classifier: Classifier, asked: dict[str, Any]) -> dict[str, Any]:
    """``asked`` with ``category``, ``fault``, ``suppress`` and ``rule`` added."""
    from penstock.feedback.answers import BadQuestion, of_reply

    try:
        return of_reply(classifier, asked)
    except BadQuestion as error:
        raise BadRecord(str(error)) from None
