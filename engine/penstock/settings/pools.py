"""Pools that the settings name have to be in the policies."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from penstock.policy.problem import Path, quoted, suggestion
from penstock.policy.validation import Checked
from penstock.settings.models import Settings


def check(checked: Checked[Settings], pools: Collection[str]) -> None:
    """Add a problem for each pool that an account or a listener names and ``pools`` do not have."""
    if checked.value is None:
        return
    for path, name in _named(checked.value):
        if name not in pools:
            message = f"the policies have no pool {quoted(name)}"
            checked.contradict(path, message, suggestion(name, pools, "pools"), about=[path])


def _named(settings: Settings) -> Iterator[tuple[Path, str]]:
    for index, smtp in enumerate(settings.smtp):
        here: Path = ("smtp", index)
        if smtp.pool:
            yield (*here, "pool"), smtp.pool
        for number, account in enumerate(smtp.auth):
            there: Path = (*here, "auth", number)
            if account.pool:
                yield (*there, "pool"), account.pool
            for place, name in enumerate(account.pools):
                yield (*there, "pools", place), name
