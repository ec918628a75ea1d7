"""The schemas for editors take what the loader takes, as far as one value goes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.fields import text_form
from penstock.policy.rate import BYTE_RATE_PATTERN, RATE_PATTERN, ByteRate, Rate
from penstock.policy.schema import KINDS, schema_of, schema_text

SCHEMAS = Path(__file__).parents[2] / "policies" / "schema"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def refused(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths that ``schema`` refuses: the part of JSON Schema that ours are written in."""
    if "anyOf" in schema:
        if all(list(refused(value, form)) for form in schema["anyOf"]):
            yield path
    elif _is_refused(value, schema):
        yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from refused(item, schema.get("items", {}), f"{path}[{index}]")
    elif isinstance(value, dict):
        yield from (f"{path}.{key}" for key in schema.get("required", ()) if key not in value)
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
            if inner is False or list(refused(key, schema.get("propertyNames", {}))):
                yield f"{path}.{key}"
            else:
                yield from refused(item, inner, f"{path}.{key}")


def _is_refused(value: Any, schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else [value])
    if value not in allowed or (kind and not isinstance(value, _TYPES[kind])):
        return True
    if isinstance(value, bool):
        return kind not in (None, "boolean")
    if isinstance(value, str):
        return not re.search(schema.get("pattern", ""), value)
    if isinstance(value, int | float):
        return not schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return False


def _kind_of(name: str) -> str:
    kinds = {"providers": "provider", "replies": "replies", "warmup": "warmup"}
    return kinds.get(name.partition("/")[0]) or name.removesuffix(".toml")


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schemas_are_up_to_date(kind: str) -> None:
    hint = "run: python -m penstock.settings.reference docs/reference policies/schema"
    assert (SCHEMAS / f"{kind}.json").read_text("utf-8") == schema_text(kind), hint
    assert json.loads(schema_text(kind)) == schema_of(kind)


def test_every_shipped_file_follows_its_schema(shipped_files: dict[str, str]) -> None:
    for name, text in shipped_files.items():
        assert list(refused(tomllib.loads(text), schema_of(_kind_of(name)))) == [], name


RIGHT = {
    "default": """\
[limits]
connections = 3
message_rate = "100/5min burst 20"
byte_rate = "1.5 MiB/s"
provider_connections = "unlimited"
idle_timeout_s = 30
max_age_s = "1d 12h"
retry_factor = 1.5
[domain."x.example"]
tls = "none"
[[narrow]]
tenant = "shop"
class = "bulk"
message_rate = "1/s"
""",
    "sources": """\
[source.s1]
ipv6 = "2001:db8::1"
proxy = "socks5://[2001:db8::9]:1080"
[pool.a]
sources = { s1 = 3 }
[pool.b]
sources = ["s1"]
overflow = "a"
""",
    "tenants": """\
[class.bulk]
floor = 0.5
[tenant."*"]
window = "mon-fri,sun 08:00-12:00,13:00-17:00 Europe/Berlin"
[tenant.shop.campaign."spring sale"]
weight = 5
""",
}
WRONG = {
    "default": """\
conections = 3
[limits]
connections = 0
message_rate = "100 a minute"
byte_rate = 5
idle_timeout_s = 0
tls = "maybe"
[domain."x.example"]
provider_connections = 1
[[narrow]]
clas = "bulk"
""",
    "sources": """\
[source."a b"]
[source.s1]
proxy = "http://h:1"
[pool.a]
sources = { s1 = 0 }
[pool.b]
""",
    "tenants": """\
[class.bukl]
[tenant.shop]
weight = 1001
window = "always"
class = 1
[tenant.shop.campaign.x]
pool = "a"
""",
}
EXPECTED = {
    "default": [
        ".conections",
        ".limits.connections",
        ".limits.message_rate",
        ".limits.byte_rate",
        ".limits.idle_timeout_s",
        ".limits.tls",
        ".domain.x.example.provider_connections",
        ".narrow[0].clas",
    ],
    "sources": [".source.a b", ".source.s1.proxy", ".pool.a.sources", ".pool.b.sources"],
    "tenants": [
        ".class.bukl",
        ".tenant.shop.weight",
        ".tenant.shop.window",
        ".tenant.shop.class",
        ".tenant.shop.campaign.x.pool",
    ],
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_right_passes_here_and_in_the_loader(
    kind: str, load: Callable[[dict[str, str]], object]
) -> None:
    assert list(refused(tomllib.loads(RIGHT[kind]), schema_of(kind))) == []
    load({f"{kind}.toml": RIGHT[kind]})


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_marked_here_and_in_the_loader(
    kind: str, problems: Callable[[dict[str, str]], list[str]]
) -> None:
    assert list(refused(tomllib.loads(WRONG[kind]), schema_of(kind))) == EXPECTED[kind]
    assert len(problems({f"{kind}.toml": WRONG[kind]})) >= len(EXPECTED[kind])


@given(
    count=st.integers(1, 10**8),
    number=st.integers(1, 999),
    unit=st.sampled_from(["s", "min", "h", "day"]),
    burst=st.integers(1, 10**9),
)
def test_every_rate_as_it_is_written_has_the_form_of_one(
    count: int, number: int, unit: str, burst: int
) -> None:
    rate = str(Rate.parse(f"{count}/{number}{unit} burst {burst}"))
    assert re.search(text_form(RATE_PATTERN)["pattern"], rate)
    assert Rate.parse(rate) == Rate.parse(f"{count}/{number}{unit} burst {burst}")
    in_bytes = ByteRate.parse(f"{count} KiB/{number}{unit} burst {burst}B")
    assert re.search(text_form(BYTE_RATE_PATTERN)["pattern"], str(in_bytes))
    assert ByteRate.parse(str(in_bytes)) == in_bytes
