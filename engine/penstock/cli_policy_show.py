"""What holds for a destination, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from penstock.cli_show import console, plain

_OF_VALUE = ("name", "value", "where")


def show_account(found: Mapping[str, Any]) -> None:
    """The destination, its limits, what the mail is, and what it is counted by, as
    :mod:`penstock.policy.account_data` has them."""
    out = console()
    out.print(f"[bold]{plain(found['destination'])}[/bold] ({_which(found)})", soft_wrap=True)
    out.print(_table(("limit", "value", "set by"), _rows(found["limits"], *_OF_VALUE)))
    out.print()
    out.print(_table(("mail", "value", "set by"), _rows(found["mail"], *_OF_VALUE)))
    if found["caps"]:
        out.print()
        names = ("scope", "field", "value", "where")
        heads = ("counted for", "limit", "value", "set by")
        out.print(_table(heads, _rows(found["caps"], *names)))


def unknown_provider(domain: str, asked_with_hosts: bool) -> str:
    """Why no provider's limits are shown."""
    if asked_with_hosts:
        return f"penstock: these MX hosts are no provider's, so {domain} has the limits for all"
    return (
        f"penstock: no provider lists {domain}, and DNS is not asked here; "
        "say where its mail goes with --mx HOST, once for each host"
    )


def _which(found: Mapping[str, Any]) -> str:
    kind, provider, site, source = (found[n] for n in ("kind", "provider", "site", "source"))
    parts = [kind if kind != "domain" else ""]
    if provider and kind == "domain":
        parts.append(f"provider {provider}, by {found['by']}")
    if kind == "domain" and not provider:
        parts.append("no provider")
    parts.append(f"site {site}" if site and kind != "site" else "")
    parts.append(f"source {source}" if source else "")
    return plain("; ".join(part for part in parts if part))


def _rows(found: Iterable[Mapping[str, str]], *names: str) -> list[tuple[str, ...]]:
    return [tuple(one[name] for name in names) for one in found]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table
