"""What the commands of ``penstock suppression`` share: options, the list itself, notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli_common import WRONG, CommandError, user_name

if TYPE_CHECKING:
    from penstock.settings.models import Settings
    from penstock.suppression.entry import Entry
    from penstock.suppression.store import Store
    from penstock.suppression.writer import SuppressionWriter

GLOBAL_WORD = "-"  # how the tenant of global entries is given
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", "-t", help=f'Of this tenant; "{GLOBAL_WORD}": the global list.'),
]
OneTenant = Annotated[
    str, typer.Option("--tenant", "-t", help="For this tenant only; else for all of them.")
]
Scope = Annotated[
    str | None,
    typer.Option("--scope", "-s", help='A class of mail, list:NAME, or "all".'),
]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="With this reason only.")]
Why = Annotated[str, typer.Option("--why", help="Why you do this, for the event.")]


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    import lmdb

    from penstock.suppression.configure import store_config, suppression_directory
    from penstock.suppression.store import Store, SuppressionError

    try:
        store = Store(suppression_directory(settings), store_config(settings), readonly=True)
    except SuppressionError as error:
        raise CommandError(str(error)) from None
    try:
        yield store
    except lmdb.Error as error:
        raise CommandError(f"the suppression list in {store.directory}: {error}") from None
    except ValueError as error:
        raise CommandError(str(error), WRONG) from None
    finally:
        store.close()


@contextmanager
def open_writer(settings: Settings) -> Iterator[SuppressionWriter]:
    from penstock.suppression.configure import store_config, suppression_directory
    from penstock.suppression.store import Store, SuppressionError
    from penstock.suppression.writer import SuppressionWriter

    try:
        store = Store(suppression_directory(settings), store_config(settings))
        try:
            yield SuppressionWriter(store)
        finally:
            store.close()
    except SuppressionError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(str(error), WRONG) from None


def selected(
    store: Store, tenant: str | None, scope: str | None, reason: str | None
) -> Iterator[Entry]:
    whose, wanted = tenant_of(tenant), None if scope is None else scope_of(scope)
    for entry in store.walk():
        if (
            whose in (None, entry.tenant)
            and wanted in (None, entry.scope)
            and reason in (None, entry.reason, entry.reason.partition(":")[0])
        ):
            yield entry


def tenant_of(given: str | None) -> str | None:
    return "" if given == GLOBAL_WORD else given


def scope_of(given: str) -> str:
    return "" if given == "all" else given


def some(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def note_of(action: str, why: str, tenant: str, selector: dict[str, str]) -> dict[str, Any]:
    """Who did what, as an event will tell it."""
    return {
        "action": f"suppression {action}",
        "who": user_name(),
        "reason": why,
        "tenant": tenant,
        "selector": {name: value for name, value in selector.items() if value},
    }
