"""``penstock suppression --url``: the list of a daemon elsewhere, by way of its API."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from penstock.cli_common import CommandError, ask_remote, user_name
from penstock.cli_http import BadUrl, Refused, Remote, opened

_IMPORT_S = 3600.0
_KINDS = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_PAGE = 5000


def entries(remote: Remote, filters: dict[str, Any], limit: int) -> list[dict[str, str]]:
    """The first ``limit`` of the list."""
    found: list[dict[str, str]] = []
    cursor = ""
    while len(found) < limit:
        size = min(limit - len(found), _PAGE)
        params = {**filters, "limit": size, "cursor": cursor}
        page = ask_remote(remote, "suppression.list", params)
        found += page["entries"]
        cursor = page["next"]
        if not cursor:
            break
    return found[:limit]


def lookup(remote: Remote, address: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = ask_remote(remote, "suppression.lookup", {"address": address})[
        "entries"
    ]
    return found


def remove(remote: Remote, address: str, filters: dict[str, Any], why: str) -> int:
    """How many entries went."""
    listed = ask_remote(remote, "suppression.lookup", {"address": address, **filters})["entries"]
    if not listed:
        return 0
    params = {"address": address, **filters, "who": user_name(), "why": why}
    return int(ask_remote(remote, "suppression.remove", params)["removed"])


def export(remote: Remote, filters: dict[str, Any], form: str, file: Path) -> int:
    """Write the list to ``file``, whole or not at all, or to standard output; how many lines."""
    params = {**filters, "format": form}
    to_stdout = str(file) == "-"
    aside = file.with_name(f"{file.name}.new")
    try:
        with (
            opened(remote, "suppression.export", params, _IMPORT_S, {}) as stream,
            nullcontext(sys.stdout.buffer) if to_stdout else aside.open("wb") as out,
        ):
            shutil.copyfileobj(stream, out)
    except (Refused, BadUrl) as error:
        raise CommandError(str(error)) from None
    if to_stdout:
        sys.stdout.flush()
        return 0
    with aside.open("rb") as written:
        count = sum(1 for _ in written)
    os.replace(aside, file)
    return count - 1 if form == "csv" else count


def import_(
    remote: Remote, file: Path, form: str, params: dict[str, Any], why: str
) -> dict[str, Any]:
    """What the daemon says of the list in ``file``."""
    asked = {**params, "who": user_name(), "why": why}
    source = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
    with source as body:
        found: dict[str, Any] = ask_remote(
            remote, "suppression.import", asked, _IMPORT_S, body=body, kind=_KINDS[form]
        )
    return found
