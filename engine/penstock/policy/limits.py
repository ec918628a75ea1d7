"""The limits that hold for one destination, with the place that each of them came from.

``Limits`` is what a delivery asks for: every value is there, whatever layer set it. ``where`` gives
the file and line of each, which is the whole point: an operator who wonders about a figure is one
click away from the line to edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from penstock.policy.rate import ByteRate, Rate

TlsMode = Literal["none", "opportunistic", "required", "verified"]
TlsVersion = Literal["1.2", "1.3"]
AdaptiveMode = Literal["off", "observe", "on"]

_MINUTE_S = 60.0
_HOUR_S = 3600.0
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who set a value. ``line`` is 0 where there is no line: ``file`` is then ``"built-in"``."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


BUILT_IN = Provenance("built-in")
_START, _FLOOR = Rate(1, 1.0, 1), Rate(4, _HOUR_S, 1)
_NOWHERE: Mapping[str, Provenance] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A value that knows where it stands: ``at`` its table, ``places`` the fields set there."""

    at: Provenance = field(default=BUILT_IN, compare=False)
    places: Mapping[str, Provenance] = field(
        default_factory=lambda: _NOWHERE, repr=False, compare=False
    )

    def where(self, name: str) -> Provenance:
        """Where the field ``name`` is set; its table where it is not."""
        return self.places.get(name, self.at)


@dataclass(frozen=True, slots=True)
class Limits:
    """The built-in defaults are the defaults here.

    ``connections``, ``connection_rate``, ``message_rate`` (recipients) and ``byte_rate`` count per
    (source, site); those with ``provider_`` before them per source over all sites of a provider.
    ``None`` is unlimited. Retry: the n-th delay is ``retry_initial_s * retry_factor**(n-1)``, at
    most ``retry_max_s``, moved by up to ``retry_jitter`` of itself either way (RFC 5321 4.5.4.1).
    ``greylist_retry_s`` takes the place of ``retry_initial_s`` for mail that was greylisted, and
    is never cut short by the jitter.
    Those with ``adaptive`` before them are about the pace that is found from a provider's replies,
    per source over all of its sites; ``adaptive_retry_s`` takes the place of ``retry_initial_s``
    for mail that was put off because it came too fast.
    """

    connections: int = 10
    connection_rate: Rate | None = None
    message_rate: Rate | None = None
    byte_rate: ByteRate | None = None
    messages_per_connection: int = 100
    recipients_per_transaction: int = 100
    idle_timeout_s: float = _MINUTE_S
    connect_timeout_s: float = _MINUTE_S
    command_timeout_s: float = 5 * _MINUTE_S
    data_timeout_s: float = 5 * _MINUTE_S
    tls: TlsMode = "opportunistic"
    tls_min_version: TlsVersion = "1.2"
    retry_initial_s: float = 20 * _MINUTE_S
    retry_max_s: float = 4 * _HOUR_S
    retry_factor: float = 2.0
    retry_jitter: float = 0.2
    greylist_retry_s: float = 5 * _MINUTE_S
    max_age_s: float = 5 * _DAY_S
    provider_connections: int | None = None
    provider_connection_rate: Rate | None = None
    provider_message_rate: Rate | None = None
    provider_byte_rate: ByteRate | None = None
    adaptive: AdaptiveMode = "off"
    adaptive_start: Rate = _START
    adaptive_floor: Rate = _FLOOR
    adaptive_ceiling: Rate | None = None
    adaptive_retry_s: float = _MINUTE_S
    provenance: Mapping[str, Provenance] = field(
        default_factory=lambda: _NOWHERE, repr=False, compare=False
    )

    def where(self, name: str) -> Provenance:
        """The file and line that set the field ``name``; ``KeyError`` for a name that is none."""
        if name not in FIELDS:
            raise KeyError(name)
        return self.provenance.get(name, BUILT_IN)

    def overridden(self, values: Mapping[str, Any], provenance: Mapping[str, Provenance]) -> Limits:
        """These limits with ``values`` laid over them; ``provenance`` has an entry for each."""
        merged = {**self.provenance, **{name: provenance[name] for name in values}}
        return replace(self, **values, provenance=MappingProxyType(merged))


FIELDS = tuple(item.name for item in fields(Limits) if item.name != "provenance")
OF_PROVIDERS = tuple(name for name in FIELDS if name.startswith("provider_"))
OF_PAIRS = tuple(name for name in FIELDS if name.startswith("adaptive"))
