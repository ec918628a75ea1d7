"""``penstock suppression``: the list of who gets no mail any more.

The commands work on the list itself, with the daemon running or not; every worker sees a change in
the moment that it is made. Each change also leaves a note with it, of which the daemon makes an
event when it runs. With ``--url`` it is the list of a daemon elsewhere.
"""

from __future__ import annotations

import itertools
import time
from typing import Annotated

import typer

from penstock.cli_common import (
    CONFIG,
    FAILED,
    AsJson,
    Config,
    ask_remote,
    asking,
    duration,
    load_settings,
    print_json,
    remote,
    user_name,
)
from penstock.cli_suppression_common import (
    GLOBAL_WORD,
    OneTenant,
    Reason,
    Scope,
    Tenant,
    Why,
    note_of,
    open_store,
    open_writer,
    scope_of,
    selected,
    some,
    tenant_of,
)
from penstock.cli_suppression_files import export, import_

app = typer.Typer(no_args_is_help=True)
app.command("import")(import_)
app.command("export")(export)

Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...")]


@app.command()
@asking
def add(
    addresses: Addresses,
    tenant: OneTenant = "",
    scope: Scope = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why it is suppressed.")] = "manual",
    ttl: Annotated[str, typer.Option("--ttl", help='For so long, like "90d"; else as set.')] = "",
    why: Why = "",
    config: Config = CONFIG,
) -> None:
    """Put addresses on the list: for all tenants, or one."""
    elsewhere = remote()
    if elsewhere is not None:
        params = {
            "addresses": addresses,
            "tenant": tenant,
            "scope": scope,
            "reason": reason,
            "ttl_s": duration(ttl) if ttl else None,
            "who": user_name(),
            "why": why,
        }
        _added(**ask_remote(elsewhere, "suppression.add", params))
        return
    from penstock.suppression.configure import suppression_rules
    from penstock.suppression.entry import Entry

    settings, now = load_settings(config), time.time()
    rules = suppression_rules(settings)
    until = now + duration(ttl) if ttl else rules.until(reason, now)
    scopes = rules.scopes(reason) if scope is None else (scope_of(scope),)
    name = "" if tenant == GLOBAL_WORD else tenant
    entries = [
        Entry(one, name, each, reason, "", now, until) for one in addresses for each in scopes
    ]
    note = note_of("add", why, name, {"addresses": _some(addresses), "reason": reason})
    with open_writer(settings) as writer:
        new = writer.add(entries, note)
    _added(len(entries), len(addresses), new)


@app.command()
@asking
def remove(
    addresses: Addresses,
    tenant: Tenant = None,
    scope: Scope = None,
    reason: Reason = None,
    why: Why = "",
    config: Config = CONFIG,
) -> None:
    """Take addresses off the list: all of their entries, or some."""
    removed = 0
    name = tenant_of(tenant)
    elsewhere = remote()
    if elsewhere is not None:
        from penstock import cli_suppression_remote as there

        filters = {"tenant": tenant, "scope": scope, "reason": reason}
        _removed(sum(there.remove(elsewhere, one, filters, why) for one in addresses))
        return
    with open_writer(load_settings(config)) as writer:
        for address in addresses:
            selector = {"address": address, "scope": scope or "", "reason": reason or ""}
            note = note_of("remove", why, name or "", selector)
            wanted = None if scope is None else scope_of(scope)
            removed += writer.remove(address, name, wanted, reason, note)
    _removed(removed)


@app.command()
@asking
def show(addresses: Addresses, config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show all that the list has of an address; exit 1 where that is nothing."""
    from penstock.suppression.store import Suppressions
    from penstock.suppression.transfer import row_of

    elsewhere = remote()
    if elsewhere is not None:
        from penstock import cli_suppression_remote as there

        found = [(one, there.lookup(elsewhere, one)) for one in addresses]
    else:
        with open_store(load_settings(config)) as store:
            lists = Suppressions(store)
            found = [(one, [*map(row_of, lists.lookup(one))]) for one in addresses]
    if as_json:
        print_json([row for _, rows in found for row in rows])
    else:
        for address, rows in found:
            _table(rows)
            if not rows:
                typer.echo(f"{address}: not suppressed")
    if not any(rows for _, rows in found):
        raise typer.Exit(FAILED)


@app.command("list")
@asking
def list_(
    tenant: Tenant = None,
    scope: Scope = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many at most.")] = 100,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """List entries, in the order of their addresses."""
    from penstock.suppression.transfer import row_of

    rows: list[dict[str, str]] = []
    elsewhere = remote()
    if elsewhere is not None:
        from penstock import cli_suppression_remote as there

        filters = {"tenant": tenant, "scope": scope, "reason": reason}
        rows = there.entries(elsewhere, filters, limit)
    else:
        with open_store(load_settings(config)) as store:
            found = itertools.islice(selected(store, tenant, scope, reason), limit)
            rows += map(row_of, found)
    if as_json:
        print_json(rows)
    else:
        _table(rows)
        if len(rows) == limit:
            typer.echo(f"the first {limit}; penstock suppression export has all", err=True)


@app.command()
@asking
def stats(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show how much is on the list, by tenant and reason, and how large it is."""
    from penstock.policy.units import size_text
    from penstock.suppression.writer import SuppressionWriter

    elsewhere = remote()
    if elsewhere is not None:
        found = ask_remote(elsewhere, "suppression.statistics", {})
    else:
        with open_store(load_settings(config)) as store:
            counted = [one._asdict() for one in SuppressionWriter(store).count()]
            found = {**store.usage()._asdict(), "counts": counted}
    if as_json:
        print_json(found)
        return
    if "bytes" in found:  # not for a key of one tenant
        share = 100 * found["bytes"] / found["map_bytes"]
        typer.echo(
            f"{some(found['addresses'], 'address', 'addresses')} (once for each tenant), "
            f"{size_text(found['bytes'])} of {size_text(found['map_bytes'])} ({share:.0f} %)"
        )
    for one in found["counts"]:
        words = (one["tenant"] or "all tenants", one["reason"], one["scope"] or "all classes")
        typer.echo(f"{one['entries']:>12,}  {' · '.join(words)}")


def _added(entries: int, addresses: int, new: int) -> None:
    made = some(entries, "entry", "entries")
    typer.echo(f"{made} for {some(addresses, 'address', 'addresses')}, {new} new")


def _removed(removed: int) -> None:
    typer.echo(f"{some(removed, 'entry', 'entries')} removed")
    if not removed:
        raise typer.Exit(FAILED)


def _some(addresses: list[str]) -> str:
    shown = ", ".join(addresses[:10])
    return f"{shown} and {len(addresses) - 10} more" if len(addresses) > 10 else shown


def _table(rows: list[dict[str, str]]) -> None:
    from rich.table import Table

    from penstock.cli_show import console, plain

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("address", "tenant", "scope", "reason", "since", "until", "event"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        named = {"tenant": row["tenant"] or "(all)", "scope": row["scope"] or "(all)"}
        table.add_row(*map(plain, {**row, **named}.values()))
    console().print(table)
