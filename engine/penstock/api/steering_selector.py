"""Selectors: which mail is meant, by all of the fields that are given."""

from __future__ import annotations

from pydantic import Field

from penstock.api.steering import Order, Query

_CHARS_MAX = 300


class SelectorFields(Query):
    """In the query of an address each field stands by itself."""

    tenant: str = Field(default="", max_length=_CHARS_MAX, description="Whose mail it is.")
    campaign: str = Field(default="", max_length=_CHARS_MAX, description="What it belongs to.")
    provider: str = Field(default="", max_length=_CHARS_MAX, description="As in the policies.")
    domain: str = Field(default="", max_length=_CHARS_MAX, description="Recipients' domain.")
    source: str = Field(default="", max_length=_CHARS_MAX, description="That it is to leave from.")
    pool: str = Field(default="", max_length=_CHARS_MAX, description="Pool of sources.")
    class_: str = Field(
        default="",
        alias="class",
        max_length=_CHARS_MAX,
        description="transactional, triggered, bulk or one of the policies.",
    )

    def selector(self) -> dict[str, str]:
        """What was given of it."""
        found = {name: getattr(self, name) for name in _FIELDS} | {"class": self.class_}
        return {name: value for name, value in found.items() if value}


_FIELDS = ("tenant", "campaign", "provider", "domain", "source", "pool")


class Selector(Order):
    """All of the fields that are given have to fit."""

    tenant: str = Field(default="", max_length=_CHARS_MAX, description="Whose mail it is.")
    campaign: str = Field(default="", max_length=_CHARS_MAX, description="What it belongs to.")
    provider: str = Field(
        default="", max_length=_CHARS_MAX, description="As in the policies.", examples=["gmail"]
    )
    domain: str = Field(default="", max_length=_CHARS_MAX, description="Recipients' domain.")
    source: str = Field(default="", max_length=_CHARS_MAX, description="That it is to leave from.")
    pool: str = Field(default="", max_length=_CHARS_MAX, description="Pool of sources.")
    class_: str = Field(
        default="",
        alias="class",
        max_length=_CHARS_MAX,
        description="transactional, triggered, bulk or one of the policies.",
    )

    def fields(self) -> dict[str, str]:
        """What was given of it."""
        found = {name: getattr(self, name) for name in _FIELDS} | {"class": self.class_}
        return {name: value for name, value in found.items() if value}
