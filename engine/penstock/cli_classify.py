"""``penstock classify``: what replies mean, by the rules of the policies; no daemon is asked.

NDJSON goes in on standard input and comes out with what was found added, a line for a line. A bad
line is named on standard error and the others are answered all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from penstock.mail.outcome import Phase

if TYPE_CHECKING:
    from penstock.feedback.classify import Classifier

LINE_BYTES_MAX = 1 << 20
_PHASES = {phase.value: phase for phase in Phase}


class BadLine(ValueError):
    """Why a line cannot be answered."""


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
