"""``penstock classify``: what replies and reports mean, by the rules of the policies; no daemon is
asked.

Replies go in as NDJSON on standard input and come out with what was found added, a line for a line;
of reports each file gives a line. What cannot be read is named on standard error, and the others
are answered all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from penstock.mail.outcome import Phase

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

LINE_BYTES_MAX = 1 << 20
_PHASES = {phase.value: phase for phase in Phase}


class BadLine(ValueError):
    """Why a line cannot be answered."""


def read_report(classifier: Classifier, path: str) -> dict[str, Any]:
    """What the mail in the file at ``path`` reports. Raises ``OSError``."""
    from penstock.feedback.report import ReportLimits, parse_report

    limits = ReportLimits()
    with Path(path).open("rb") as file:
        content = file.read(limits.content_bytes_max)
    report = parse_report(content, classifier, limits)
    return {
        "file": Path(path).name,
        "kind": report.kind,
        "recipients": [
            {
                "recipient": one.recipient,
                "status": one.status,
                "reply_code": one.reply_code,
                "category": one.category.value,
                "fault": one.fault.value,
                "suppress": one.suppress,
                "feedback_type": one.feedback_type,
            }
            for one in report.findings
        ],
    }


def lines_of(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, numbered from 1; of one that is too long the beginning."""
    number = 0
    while line := stream.readline(LINE_BYTES_MAX):
        number += 1
        if line.strip():
            yield number, line
        while line and not line.endswith(b"\n"):  # the rest of one that is too long
            line = stream.readline(LINE_BYTES_MAX)


def object_of(line: bytes) -> dict[str, Any]:
    """The JSON object in ``line``; :class:`BadLine` where there is none."""
    if len(line) >= LINE_BYTES_MAX:
        raise BadLine(f"longer than {LINE_BYTES_MAX} bytes")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadLine(f"expected an object, not {type(found).__name__}")
    return found


def read_reply(classifier: Classifier, asked: dict[str, Any]) -> dict[str, Any]:
    """``asked`` with ``category``, ``fault``, ``suppress`` and ``rule`` added."""
    from penstock.feedback.normalise import of_text

    reply, provider = asked.get("reply"), asked.get("provider", "")
    if not isinstance(reply, str):
        raise BadLine('the key "reply" is missing' if reply is None else "reply: expected a text")
    if not isinstance(provider, str | None):
        raise BadLine("provider: expected a text")
    phase = asked.get("phase")
    if phase is not None and phase not in _PHASES:
        raise BadLine(f"phase: none of {', '.join(_PHASES)}")
    at = _PHASES[phase] if phase is not None else None
    verdict = classifier.read((provider or "").strip().lower(), of_text(reply), at)
    return {
        **asked,
        "category": verdict.category.value,
        "fault": verdict.fault.value,
        "suppress": verdict.suppress,
        "rule": verdict.rule,
    }
