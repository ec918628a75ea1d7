"""``penstock suppression``: the list of who gets no mail any more.

The commands work on the list itself, with the daemon running or not; every worker sees a change in
the moment that it is made. Each change also leaves a note with it, of which the daemon makes an
event when it runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli_common import (
    CONFIG,
    FAILED,
    AsJson,
    Config,
    command,
    duration,
    load_settings,
    print_json,
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

if TYPE_CHECKING:
    from penstock.suppression.entry import Entry

app = typer.Typer(no_args_is_help=True)
app.command("import")(import_)
app.command("export")(export)

Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...")]


@app.command()
@command
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
    made = some(len(entries), "entry", "entries")
    typer.echo(f"{made} for {some(len(addresses), 'address', 'addresses')}, {new} new")


@app.command()
@command
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
    with open_writer(load_settings(config)) as writer:
        for address in addresses:
            selector = {"address": address, "scope": scope or "", "reason": reason or ""}
            note = note_of("remove", why, name or "", selector)
            wanted = None if scope is None else scope_of(scope)
            removed += writer.remove(address, name, wanted, reason, note)
    typer.echo(f"{some(removed, 'entry', 'entries')} removed")
    if not removed:
        raise typer.Exit(FAILED)


@app.command()
@command
def show(addresses: Addresses, config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show all that the list has of an address; exit 1 where that is nothing."""
    from penstock.suppression.store import Suppressions
    from penstock.suppression.transfer import row_of

    with open_store(load_settings(config)) as store:
        suppressions = Suppressions(store)
        found = [(one, suppressions.lookup(one)) for one in addresses]
    if as_json:
        print_json([row_of(entry) for _, entries in found for entry in entries])
    else:
        for address, entries in found:
            _table(entries)
            if not entries:
                typer.echo(f"{address}: not suppressed")
    if not any(entries for _, entries in found):
        raise typer.Exit(FAILED)


@app.command("list")
@command
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

    entries: list[Entry] = []
    with open_store(load_settings(config)) as store:
        for entry in selected(store, tenant, scope, reason):
            if len(entries) == limit:
                break
            entries.append(entry)
    if as_json:
        print_json([row_of(entry) for entry in entries])
    else:
        _table(entries)
        if len(entries) == limit:
            typer.echo(f"the first {limit}; penstock suppression export has all", err=True)


@app.command()
@command
def stats(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show how much is on the list, by tenant and reason, and how large it is."""
    from penstock.policy.units import size_text
    from penstock.suppression.writer import SuppressionWriter

    with open_store(load_settings(config)) as store:
        usage, counted = store.usage(), SuppressionWriter(store).count()
    if as_json:
        print_json({**usage._asdict(), "counts": [one._asdict() for one in counted]})
        return
    share = 100 * usage.bytes / usage.map_bytes
    typer.echo(
        f"{some(usage.addresses, 'address', 'addresses')} (once for each tenant), "
        f"{size_text(usage.bytes)} of {size_text(usage.map_bytes)} ({share:.0f} %)"
    )
    for one in counted:
        words = (one.tenant or "all tenants", one.reason, one.scope or "all classes")
        typer.echo(f"{one.entries:>12,}  {' · '.join(words)}")


def _some(addresses: list[str]) -> str:
    shown = ", ".join(addresses[:10])
    return f"{shown} and {len(addresses) - 10} more" if len(addresses) > 10 else shown


def _table(entries: list[Entry]) -> None:
    from rich.table import Table

    from penstock.cli_show import console, plain
    from penstock.suppression.transfer import row_of

    if not entries:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("address", "tenant", "scope", "reason", "since", "until", "event"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        row = row_of(entry)
        row["tenant"], row["scope"] = entry.tenant or "(all)", entry.scope or "(all)"
        table.add_row(*map(plain, row.values()))
    console().print(table)
