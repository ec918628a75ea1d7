"""What holds for a destination, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from penstock.cli_show import console, plain
from penstock.policy import account
from penstock.policy.account import Destination, Sender, Value
from penstock.policy.policies import Policies


def show_account(policies: Policies, to: Destination, sender: Sender) -> None:
    """The destination, its limits, what the mail is, and what it is counted by."""
    out = console()
    out.print(f"[bold]{plain(to.asked)}[/bold] ({_which(to, sender)})", soft_wrap=True)
    out.print(_values("limit", account.limits(policies, to, sender.source)))
    out.print()
    out.print(_values("mail", account.sending(policies, sender)))
    caps = account.caps(policies, to, sender)
    if caps:
        out.print()
        out.print(_table(("counted for", "limit", "value", "set by"), _rows(caps)))


def unknown_provider(to: Destination, asked_with_hosts: bool) -> str:
    """Why no provider's limits are shown."""
    if asked_with_hosts:
        return f"penstock: these MX hosts are no provider's, so {to.domain} has the limits for all"
    return (
        f"penstock: no provider lists {to.domain}, and DNS is not asked here; "
        "say where its mail goes with --mx HOST, once for each host"
    )


def _which(to: Destination, sender: Sender) -> str:
    parts = [to.kind if to.kind != "domain" else ""]
    if to.provider and to.kind == "domain":
        parts.append(f"provider {to.provider}, by {to.by}")
    if to.kind == "domain" and not to.provider:
        parts.append("no provider")
    parts.append(f"site {to.site}" if to.site and to.kind != "site" else "")
    parts.append(f"source {sender.source}" if sender.source else "")
    return plain("; ".join(part for part in parts if part))


def _values(what: str, values: Iterable[Value]) -> Table:
    rows = [(value.name, value.text, str(value.where)) for value in values]
    return _table((what, "value", "set by"), rows)


def _rows(caps: Iterable[Any]) -> list[tuple[str, ...]]:
    return [(cap.scope, cap.field, str(cap.value), str(cap.where)) for cap in caps]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table
