"""How the answer of ``penstock tls show`` is written for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

_WIDTH = 11


def show_tls(answer: Mapping[str, Any]) -> None:
    """One line a fact, the outcome first."""
    for name, text in lines(answer):
        typer.echo(f"{name:<{_WIDTH}}{text}".rstrip())


def lines(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What each line is about, and the line."""
    yield "domain", str(answer["domain"])
    if "problem" in answer:
        yield "", str(answer["problem"])
        return
    demand, policy = answer["demand"], answer["policy"]
    origin = "" if demand["origin"] == "policy" else f"{demand['origin']}: "
    yield "demands", f"{demand['tls']} ({origin}{demand['where']})"
    yield "policy", f"tls = {policy['tls']}: {policy['tls_where']}"
    version, where = policy["tls_min_version"], policy["tls_min_version_where"]
    yield "", f"tls_min_version = {version}: {where}"
    yield "MTA-STS", _sts(answer["mta_sts"])
    yield from _dane(answer)
    for number, host in enumerate(answer["hosts"]):
        yield "" if number else "hosts", f"{host['host'] or '(an address)'}: {host['tls']}"


def _sts(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "none"
    if "trouble" in found:
        return f"none can be used: {found['trouble']}, {found['why']}"
    hosts = ", ".join(found["mx"])
    return f"{found['mode']}, id {found['id']}, mx {hosts}, for {found['max_age_s']} s"


def _dane(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not answer["dane"]:
        yield "DANE", "none, but the MX records are secure" if answer["secure_mx"] else "none"
    for number, one in enumerate(answer["dane"]):
        what = one["trouble"] or "; ".join(one["records"]) or "none that can be used"
        yield "" if number else "DANE", f"{one['name']}: {what}"
