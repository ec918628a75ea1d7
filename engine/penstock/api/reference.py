"""Writes the page of problems: ``python -m penstock.api.reference docs/reference/problems.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.api.problem import MEDIA_TYPE, TYPES_AT
from penstock.api.problem_kinds import KINDS

_HEAD = f"""\
# Problems

*Written by `make docs` from the table that the API answers by.*

Whatever goes wrong is told as `{MEDIA_TYPE}` (RFC 9457). Its `type` is `{TYPES_AT}#` and
one of the names below, which stay the same: programs may rely on them. `detail` is for people.

| name | status | |
|---|---|---|
"""


def problems_markdown() -> str:
    """The whole page."""
    rows = [
        f"| `{kind.slug}` | {kind.status} | **{kind.title}.** {kind.meaning} |"
        for kind in KINDS.values()
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(problems_markdown(), encoding="utf-8")
