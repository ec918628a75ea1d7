"""``[[narrow]]`` tables as ``Narrow`` values, with what contradicts in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from penstock.policy.limits import FIELDS, OF_PAIRS, Provenance
from penstock.policy.load_sources import Egress
from penstock.policy.merge import layer_of, place_of
from penstock.policy.models import NarrowTable
from penstock.policy.narrowing import CONNECTED, COUNTED, Narrow
from penstock.policy.problem import Path, quoted, suggestion
from penstock.policy.tenants import ANY
from penstock.policy.validation import Checked


def load_narrows(
    checked: Checked[Any], tables: Sequence[NarrowTable], provider: str
) -> list[Narrow]:
    """``tables`` are those of the file; ``provider`` is ``""`` for ``default.toml``."""
    narrows = []
    first: dict[tuple[str | None, ...], Provenance] = {}
    for index, table in enumerate(tables):
        path: Path = ("narrow", index)
        _check(table, checked, path)
        who = (table.source, table.tenant, table.class_, table.site, table.domain)
        here = place_of(checked, path)
        before = first.setdefault(who, here)
        if before is not here and any(who):
            message = f"the same mail is narrowed in line {before.line}"
            about = [(*path, name) for name in ("source", "tenant", "class", "site", "domain")]
            checked.contradict(path, message, "put the keys together", about=about)
        source, tenant, class_, site, domain = (name or "" for name in who)
        layer = layer_of(table, checked, path)
        narrows.append(Narrow(provider, source, tenant, class_, site, domain, layer, here))
    return narrows


def check_sources(narrows: Iterable[Narrow], checked: Checked[Any], egress: Egress) -> None:
    """That each source is one; asked when all files are known."""
    for index, one in enumerate(narrows):
        if one.source and one.source not in egress.source_names and egress.whole:
            checked.contradict(
                ("narrow", index, "source"),
                f"there is no source {quoted(one.source)}",
                suggestion(one.source, egress.source_names, "sources"),
            )


def _check(table: NarrowTable, checked: Checked[Any], path: Path) -> None:
    names = [(*path, name) for name in ("source", "tenant", "class")]
    by_mail = table.tenant or table.class_
    if not (table.source or by_mail):
        message = "nothing says whose mail this is for"
        checked.contradict(path, message, "name a source, tenant or class", about=names)
    if table.tenant == ANY:
        message = f"a narrowing names one tenant, not {quoted(ANY)}"
        checked.contradict((*path, "tenant"), message, "leave it out for all")
    if table.site and table.domain:
        message = "a narrowing is for a site or for a domain, not for both"
        checked.contradict((*path, "domain"), message, "leave one out")
    for field in _written(table):
        if by_mail and field in CONNECTED:
            if table.source:
                message = "is the same by all sources for a part of the mail"
                checked.contradict((*path, field), message, "leave out the source", about=names)
        elif by_mail and field not in COUNTED:
            kind = "tenant" if table.tenant else "class"
            checked.contradict(
                (*path, field),
                f"cannot be narrowed by {kind}",
                f"what can: {', '.join((*COUNTED, *CONNECTED))}",
                about=names,
            )
        elif field.startswith("provider_") and (table.site or table.domain):
            kind = "site" if table.site else "domain"
            message = f"counts over all sites of a provider, so not for one {kind}"
            checked.contradict((*path, field), message, f"write {field.removeprefix('provider_')}")
        elif field in OF_PAIRS and (table.site or table.domain):
            kind = "site" if table.site else "domain"
            message = f"is found over all sites of a provider, so not for one {kind}"
            checked.contradict((*path, field), message, "leave it out")
    if not any(_written(table)):
        limits = [(*path, field) for field in FIELDS]
        checked.contradict(path, "narrows nothing: no limit is set here", about=limits)


def _written(table: NarrowTable) -> Iterator[str]:
    return (field for field in FIELDS if field in table.model_fields_set)
