"""``sources.toml`` as sources and pools, with what contradicts in it."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from penstock.policy.egress import (
    BUILT_IN_POOLS,
    BUILT_IN_SOURCES,
    DEFAULT,
    Pool,
    Source,
    parse_proxy,
)
from penstock.policy.limits import Provenance
from penstock.policy.merge import place_of, places_of
from penstock.policy.problem import Path, quoted, suggestion
from penstock.policy.source_models import PoolTable, SourcesFile, SourceTable
from penstock.policy.validation import Checked

_LIMITS = ("connections", "connection_rate", "message_rate", "byte_rate")


@dataclass(frozen=True, slots=True)
class Egress:
    """What ``sources.toml`` says. ``source_names`` and ``pool_names`` are all that it speaks of,
    bad ones too; ``whole`` is whether none can have been lost in a statement that is broken."""

    sources: Mapping[str, Source] = field(default_factory=lambda: BUILT_IN_SOURCES)
    pools: Mapping[str, Pool] = field(default_factory=lambda: BUILT_IN_POOLS)
    source_names: Collection[str] = (DEFAULT,)
    pool_names: Collection[str] = (DEFAULT,)
    whole: bool = True


def load_egress(checked: Checked[SourcesFile], directory: str) -> Egress:
    """``directory`` is where relative paths in the file count from."""
    if checked.value is None:
        return Egress(whole=False)
    sources = {
        name: _source(name, table, checked, directory)
        for name, table in checked.value.source.items()
    }
    pools = {name: _pool(name, table, checked) for name, table in checked.value.pool.items()}
    source_names = [*_written(checked, "source")] or [DEFAULT]
    pool_names = [*dict.fromkeys([*_written(checked, "pool"), DEFAULT])]
    egress = Egress(
        MappingProxyType(sources) if sources else BUILT_IN_SOURCES,
        MappingProxyType(_with_default(sources, pools)),
        source_names,
        pool_names,
        not checked.document.problems,
    )
    for name, table in checked.value.source.items():
        _check_source(("source", name), table, checked)
    _check_addresses(sources.values(), checked)
    for pool in pools.values():
        _check_pool(pool, egress, checked)
    _check_circles(pools, checked)
    return egress


def _written(checked: Checked[SourcesFile], kind: str) -> Iterator[str]:
    tables = checked.document.data.get(kind)
    yield from tables if isinstance(tables, dict) else ()


def _with_default(sources: dict[str, Source], pools: dict[str, Pool]) -> dict[str, Pool]:
    """Mail of which nothing is said goes to the pool ``default``: all sources alike, unless the
    file has one of that name."""
    if DEFAULT in pools:
        return pools
    if not sources:
        return {**pools, **BUILT_IN_POOLS}
    return {**pools, DEFAULT: Pool(DEFAULT, MappingProxyType(dict.fromkeys(sources, 1)))}


def _source(name: str, table: SourceTable, checked: Checked[SourcesFile], directory: str) -> Source:
    path: Path = ("source", name)
    password = table.proxy_password_file or ""
    return Source(
        name,
        table.ipv4 or "",
        table.ipv6 or "",
        table.ehlo or "",
        parse_proxy(table.proxy) if table.proxy else None,
        table.proxy_user or "",
        posixpath.join(directory, password) if password else "",
        **{limit: getattr(table, limit) for limit in _LIMITS},
        warmup=table.warmup or "",
        at=place_of(checked, path),
        places=places_of(table, checked, path),
    )


def _pool(name: str, table: PoolTable, checked: Checked[SourcesFile]) -> Pool:
    path: Path = ("pool", name)
    return Pool(
        name,
        MappingProxyType(table.sources),
        table.overflow or "",
        at=place_of(checked, path),
        places=places_of(table, checked, path),
    )


def _check_source(path: Path, table: SourceTable, checked: Checked[SourcesFile]) -> None:
    keys = {name: (*path, name) for name in SourceTable.model_fields}
    if not (table.ipv4 or table.ipv6 or table.proxy):
        checked.contradict(
            path,
            "a source needs an address or a proxy",
            "set ipv4, ipv6 or proxy",
            about=[keys["ipv4"], keys["ipv6"], keys["proxy"]],
        )
    socks = bool(table.proxy and table.proxy.startswith("socks5:"))
    for name, other in (
        ("proxy_user", "proxy_password_file"),
        ("proxy_password_file", "proxy_user"),
    ):
        if getattr(table, name) is None:
            continue
        if not socks:
            message = "only a SOCKS5 proxy asks for a user"
            checked.contradict(keys[name], message, about=[keys["proxy"]])
        elif getattr(table, other) is None:
            checked.contradict(keys[name], f"needs {other} too", about=[keys[other]])


def _check_addresses(sources: Collection[Source], checked: Checked[SourcesFile]) -> None:
    first: dict[str, tuple[str, Provenance]] = {}
    for source in sources:
        for kind, address in (("ipv4", source.ipv4), ("ipv6", source.ipv6)):
            if not address:
                continue
            owner, where = first.setdefault(address, (source.name, source.where(kind)))
            if owner != source.name:
                checked.contradict(
                    ("source", source.name, kind),
                    f"{address} is the address of source {quoted(owner)} ({where}) too",
                    "two sources cannot share an address",
                )


def _check_pool(pool: Pool, egress: Egress, checked: Checked[SourcesFile]) -> None:
    path: Path = ("pool", pool.name, "sources")
    if not pool.sources:
        checked.contradict(path, "a pool without sources sends nothing", about=[path])
    for index, name in enumerate(pool.sources):
        if name in egress.source_names or not egress.whole:
            continue
        written = checked.document.data["pool"][pool.name].get("sources")
        checked.contradict(
            (*path, index if isinstance(written, list) else name),
            f"there is no source {quoted(name)}",
            suggestion(name, egress.source_names, "sources"),
        )
    if pool.overflow and pool.overflow not in egress.pool_names and egress.whole:
        checked.contradict(
            ("pool", pool.name, "overflow"),
            f"there is no pool {quoted(pool.overflow)}",
            suggestion(pool.overflow, [n for n in egress.pool_names if n != pool.name], "pools"),
        )


def _check_circles(pools: Mapping[str, Pool], checked: Checked[SourcesFile]) -> None:
    """Each circle once, at the first of its pools."""
    done: set[str] = set()
    for start in pools:
        way: list[str] = []
        name = start
        while name in pools and name not in done and name not in way:
            way.append(name)
            name = pools[name].overflow
        if name in way:
            circle = way[way.index(name) :]
            shown = " -> ".join([*circle, circle[0]])
            path = ("pool", circle[0], "overflow")
            checked.contradict(path, f"the overflow goes in a circle: {shown}")
        done.update(way)
