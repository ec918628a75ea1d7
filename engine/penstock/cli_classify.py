"""``penstock classify``: what replies and reports mean, by the rules of the policies here, for
which no daemon is needed, or with ``--url`` by those in force elsewhere.

Replies go in as NDJSON on standard input and come out with what was found added, a line for a line;
of reports each file gives a line. What cannot be read is named on standard error, and the others
are answered all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from penstock.events.recorded import LINE_BYTES_MAX, BadRecord, object_of

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

__all__ = ["BadRecord", "lines_of", "read_replies", "read_report", "rules_to_ask"]
ReadReport = Callable[[str], dict[str, Any]]
ReadReplies = Callable[
    [Iterator[tuple[int, bytes]]], Iterator[tuple[int, dict[str, Any] | BadRecord]]
]


def rules_to_ask(config: str, directory: str) -> tuple[ReadReport, ReadReplies]:
    """By those of ``directory``, of the daemon that ``--url`` names, or of the settings."""
    from penstock.cli_common import remote

    elsewhere = None if directory else remote()
    if elsewhere is not None:
        from penstock import cli_rules_remote

        return (
            partial(cli_rules_remote.report, elsewhere),
            partial(cli_rules_remote.replies, elsewhere),
        )
    from penstock.cli_policy import policies_of
    from penstock.feedback.classify import Classifier

    classifier = Classifier(policies_of(config, directory).replies)
    return partial(read_report, classifier), partial(read_replies, classifier)


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


def read_replies(
    classifier: Classifier, lines: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, dict[str, Any] | BadRecord]]:
    """For each line, by its number, what is in it with ``category``, ``fault``, ``suppress`` and
    ``rule`` added, or why it cannot be read."""
    from penstock.feedback.answers import BadQuestion, of_reply

    for number, line in lines:
        try:
            yield number, of_reply(classifier, object_of(line))
        except (BadRecord, BadQuestion) as error:
            yield number, BadRecord(str(error))
