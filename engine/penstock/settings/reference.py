"""The option tables of the documentation, from the models:
``python -m penstock.settings.reference``.

Prints the pages; with a directory as argument writes ``config.md`` and ``policies.md`` there
(``docs/reference``), with a second one the JSON Schemas of the policy files (``policies/schema``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.policy.fields import UNLIMITED_FORM, Shown
from penstock.policy.guard_models import GuardsFile
from penstock.policy.model_keys import keys_of, tables
from penstock.policy.model_types import Written, written, written_as
from penstock.policy.models import LimitsTable, NarrowTable, ProviderFile, ProviderLimitsTable
from penstock.policy.narrowing import COUNTED
from penstock.policy.reply_models import ReplyFile
from penstock.policy.schema import KINDS, schema_text
from penstock.policy.source_models import SourcesFile
from penstock.policy.tenant_models import TenantsFile
from penstock.policy.warmup_models import WarmupFile
from penstock.settings.models import Settings

_NUMBER = re.compile(r"\d+(\.\d+)?")
_NARROW = LimitsTable.model_fields
_CONFIG_HEAD = """\
# config.toml

`penstock check --config FILE` reports every mistake in the file, with its line. Relative paths
count from the file's own directory. Sizes are bytes or texts like `"64 MiB"`, durations are
seconds or texts like `"5m"`, rates are texts like `"100/min"` or `"100/min burst 20"`.

This page is generated: `python -m penstock.settings.reference docs/reference`.
"""
_POLICIES_HEAD = """\
# Policy files

Traffic policy is data: `policies/default.toml`, one `policies/providers/NAME.toml` for each mailbox
provider, `policies/replies/NAME.toml` for how each words its refusals, `policies/sources.toml` for
where mail leaves from, `policies/tenants.toml` for whose it is and `policies/guards.toml` for what
must not be exceeded. Layers, later wins: built-in
(the defaults below), `default.toml`, provider, site, domain, each with what is narrowed by source
above it. A key that is not written leaves the value of the layer below. A rate spreads its messages
over its period: without `burst`, at most a second's worth passes at once.

A domain belongs to a provider if it is listed under `domains`, or if all its MX hosts end with one
of the suffixes under `mx`; the longest suffix wins. A site is the set of MX hosts that serves a
domain.

This page is generated: `python -m penstock.settings.reference docs/reference policies/schema`.
"""
_SOURCES_HEAD = """\
Without it there is one source, `default`: the machine chooses the address. Where there is no pool
`default`, one of that name holds all sources with equal weights.
"""
_TENANTS_HEAD = """\
The classes are `transactional`, `triggered` and `bulk`; mail that names none and whose tenant names
none is `triggered`. A tenant or campaign `"*"` gives values to each that has no table of its own.
"""
_REPLIES_HEAD = """\
How one provider words its refusals. `provider` at the top names it as in `providers/`; with `"any"`
the rules hold for everybody, after the provider's own. How rules are tried is in
[deliverability.md](../deliverability.md#how-a-reply-is-read).
"""
_WARMUP_HEAD = """\
A plan by which a new source is warmed; the file's name is the plan's, and a source names it as
`warmup` in `sources.toml`. What is done with it: [Warming an IP up](../deliverability.md).
"""
_GUARDS_HEAD = """\
Shares of a sender's mail that are watched, and what happens above them. How they are counted is in
[statistics.md](../statistics.md#guards).
"""
_NARROW_HEAD = """\
In `default.toml` and in a provider's file, for a part of the mail; one of `source`, `tenant` and
`class` at least is named. By source alone, any key of `[limits]` sets another value. By tenant or
class, these keys set caps that count for that mail alone, beside those for all:"""
_NARROWER = "In any of the files, for one site or one recipient domain: the keys of `[limits]` but"


def config_page() -> str:
    """``docs/reference/config.md``."""
    return _page(_CONFIG_HEAD, Settings)


def policies_page() -> str:
    """``docs/reference/policies.md``."""
    narrower = [f"`{n}`" for n in ProviderLimitsTable.model_fields if n not in _NARROW]
    return "\n".join(
        [
            _POLICIES_HEAD,
            "## `providers/NAME.toml`\n",
            "How a provider is told. The file's name is the provider's.\n",
            _table(ProviderFile),
            "## `[limits]`\n",
            "In `default.toml` for every destination, in a provider's file for its own.\n",
            _table(ProviderLimitsTable),
            "## `[site.NAME]`, `[domain.NAME]`\n",
            f"{_NARROWER} {', '.join(narrower)}.\n",
            "## `[[narrow]]`\n",
            f"{_NARROW_HEAD} {', '.join(f'`{name}`' for name in COUNTED)}.\n",
            _table(NarrowTable, without=set(ProviderLimitsTable.model_fields)),
            *_file("sources.toml", SourcesFile, _SOURCES_HEAD),
            *_file("tenants.toml", TenantsFile, _TENANTS_HEAD),
            *_file("replies/NAME.toml", ReplyFile, _REPLIES_HEAD),
            *_file("warmup/NAME.toml", WarmupFile, _WARMUP_HEAD, top=True),
            *_file("guards.toml", GuardsFile, _GUARDS_HEAD),
        ]
    )


def _file(name: str, model: type[BaseModel], head: str, *, top: bool = False) -> Iterator[str]:
    """``top``: it has keys before its first table."""
    yield f"## `{name}`\n\n{head}"
    if top:
        yield _table(model)
    for header, table in tables(model):
        if header:
            yield f"### `{header}`\n"
            yield f"{(table.__doc__ or '').strip().replace('``', '`')}\n"
            yield _table(table)


def _page(head: str, model: type[BaseModel]) -> str:
    parts = [head, "## At the top, before the first [table]\n"]
    for header, table in tables(model):
        if header:
            parts += [f"## `{header}`\n", f"{(table.__doc__ or '').strip()}\n"]
        parts.append(_table(table))
    return "\n".join(parts)


def _table(model: type[BaseModel], without: Container[str] = ()) -> str:
    rows = ["| name | type | default | description |", "|---|---|---|---|"]
    for name, info in keys_of(model).items():
        if _is_table(info.annotation) or name in without:
            continue
        kind, default = type_text(info), default_text(info)
        rows.append(f"| `{name}` | {kind} | {default} | {info.description} |".replace("  ", " "))
    return "\n".join(rows) + "\n"


def _is_table(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_is_table(argument) for argument in get_args(annotation))


def type_text(info: FieldInfo) -> str:
    """What may be written for this field."""
    what = written(info)
    kind = _kind(what)
    if what.low is None and what.high is None:
        return kind
    write = what.shown.write if what.shown else str
    if what.high is None:
        return f"{kind}; {write(what.low)} or more"
    return f"{kind}; {write(what.low)} to {write(what.high)}"


def default_text(info: FieldInfo) -> str:
    """The default as it would be written; ``required`` where it must be."""
    if info.is_required():
        return "required"
    shown, value = written(info).shown, info.default
    if value is None and not _says_none(shown):
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(_literal(str(item)) for item in value)}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{_literal(shown.write(value) if shown else str(value))}`"


def _literal(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else f'"{text}"'


def _says_none(shown: Shown | None) -> bool:
    """Whether the kind has a word for no limit."""
    return shown is not None and UNLIMITED_FORM in shown.forms


def _kind(what: Written) -> str:
    if what.shown is not None:
        return what.shown.kind
    origin, arguments = get_origin(what.annotation), get_args(what.annotation)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return f"list of {_kind(written_as(arguments[0], []))}"
    names = {int: "integer", float: "number", bool: "true or false", str: "text"}
    return names.get(what.annotation, str(what.annotation))


def main(arguments: list[str]) -> int:
    pages = {"config.md": config_page(), "policies.md": policies_page()}
    if not arguments:
        sys.stdout.write("\n".join(pages.values()))
        return 0
    for name, text in pages.items():
        Path(arguments[0], name).write_text(text, encoding="utf-8")
    for kind in KINDS if len(arguments) > 1 else ():
        Path(arguments[1], f"{kind}.json").write_text(schema_text(kind), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
