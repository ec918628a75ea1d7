"""JSON Schemas of the policy files, from their models, for editors that complete and check.

A schema takes what the loader takes as far as one file and one value go: keys, types, bounds and
the forms of texts. What contradicts over tables or files only the loader can tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.policy.guard_models import GuardsFile
from penstock.policy.model_keys import keys_of
from penstock.policy.model_types import Written, written, written_as
from penstock.policy.models import DefaultFile, ProviderFile
from penstock.policy.reply_models import ReplyFile
from penstock.policy.source_models import SourcesFile
from penstock.policy.tenant_models import TenantsFile
from penstock.policy.warmup_models import WarmupFile

KINDS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "default": DefaultFile,
        "provider": ProviderFile,
        "sources": SourcesFile,
        "tenants": TenantsFile,
        "replies": ReplyFile,
        "warmup": WarmupFile,
        "guards": GuardsFile,
    }
)
_DIALECT = "http://json-schema.org/draft-07/schema#"  # what editors for TOML know
_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of the files of one of ``KINDS``."""
    model = KINDS[kind]
    title = (model.__doc__ or "").strip().strip("`.")
    return {"$schema": _DIALECT, "title": title, **_table(model)}


def schema_text(kind: str) -> str:
    """The same as the text of a file."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def _table(model: type[BaseModel]) -> dict[str, Any]:
    keys = keys_of(model)
    required = [key for key, info in keys.items() if info.is_required()]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: _field(info) for key, info in keys.items()},
        **({"required": required} if required else {}),
    }


def _field(info: FieldInfo) -> dict[str, Any]:
    what = written(info)
    schema = {"description": info.description, **_value(what)}
    if not info.is_required() and isinstance(info.default, bool | int | float | str):
        text = what.shown.write(info.default) if what.shown else info.default
        plain = isinstance(info.default, str) or (what.shown and len(what.shown.forms) > 1)
        schema["default"] = text if plain else info.default
    return schema


def _value(what: Written) -> dict[str, Any]:
    if what.shown and what.shown.forms:
        forms = [_bounded(dict(form), what) for form in what.shown.forms]
        return forms[0] if len(forms) == 1 else {"anyOf": forms}
    origin, arguments = get_origin(what.annotation), get_args(what.annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _value(written_as(arguments[0], []))}
    if origin is dict:
        names, values = (_value(written_as(argument, [])) for argument in arguments)
        return {"type": "object", "propertyNames": names, "additionalProperties": values}
    if isinstance(what.annotation, type) and issubclass(what.annotation, BaseModel):
        return _table(what.annotation)
    return _bounded({"type": _TYPES[what.annotation]}, what)


def _bounded(form: dict[str, Any], what: Written) -> dict[str, Any]:
    if form.get("type") in ("integer", "number"):
        form |= {} if what.low is None else {"minimum": what.low}
        form |= {} if what.high is None else {"maximum": what.high}
    return form
