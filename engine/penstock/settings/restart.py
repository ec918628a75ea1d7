"""Which settings a running daemon cannot take up.

A reload takes new policies, routes, DKIM keys, certificates and accounts. Everything else is built
into processes and sockets at the start; a reload that asks for it is refused as a whole, so that
the daemon never runs on half of a file.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.settings.api import ApiSettings
from penstock.settings.intake import SmtpSettings
from penstock.settings.models import Settings

_TAKEN_UP = frozenset({"policies", "route", "dkim", "smtp", "api"})
_TAKEN_UP_BY_LISTENERS = {"certificate", "key", "auth"}
_TAKEN_UP_BY_API = {"certificate", "key", "networks", "proxies"}


def restart_needed(old: Settings, new: Settings) -> list[str]:
    """The keys that differ and need a restart, as they are written in the file."""
    found = [
        name
        for name in Settings.model_fields
        if name not in _TAKEN_UP and getattr(old, name) != getattr(new, name)
    ]
    if len(old.smtp) != len(new.smtp):
        found.append("smtp")
    else:
        for number, (before, after) in enumerate(zip(old.smtp, new.smtp, strict=True)):
            found += [f"smtp[{number}].{name}" for name in _listener(before, after)]
    return found + _of_api(old.api, new.api)


def _of_api(old: Sequence[ApiSettings], new: Sequence[ApiSettings]) -> list[str]:
    if len(old) != len(new):
        return ["api"]
    found = []
    for number, (before, after) in enumerate(zip(old, new, strict=True)):
        names = [
            name
            for name in ApiSettings.model_fields
            if name not in _TAKEN_UP_BY_API and getattr(before, name) != getattr(after, name)
        ]
        if bool(before.certificate) != bool(after.certificate):
            names.append("certificate")  # whether there is TLS is decided when it is made
        found += [f"api[{number}].{name}" for name in names]
    return found


def _listener(before: SmtpSettings, after: SmtpSettings) -> list[str]:
    names = [
        info.alias or name
        for name, info in SmtpSettings.model_fields.items()
        if name not in _TAKEN_UP_BY_LISTENERS and getattr(before, name) != getattr(after, name)
    ]
    if bool(before.auth) != bool(after.auth):
        names.append("auth")  # whether AUTH is offered is decided when the listener is made
    return names
