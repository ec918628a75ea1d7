"""What the settings of DANE and of reports on TLS want that is not there.

Only the machine knows its resolvers: what a daemon on it would do is a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from penstock.mail.address import split
from penstock.policy.problem import Path, Problem, quoted
from penstock.policy.validation import Checked
from penstock.settings.models import Settings

_REPORT: Path = ("tls_report",)
_SENDER: Path = ("tls_report", "sender")


def find(checked: Checked[Settings]) -> None:
    """Add a problem to ``checked`` for every contradiction in its value."""
    settings = checked.value
    if settings is None or settings.tls_report is None:
        return
    if not settings.events.enabled:
        message = "what is seen of TLS is counted by way of the event log, which is off"
        about: list[Path] = [_REPORT, ("events", "enabled")]
        checked.contradict(_REPORT, message, "remove events.enabled = false", about=about)


def check_reports(checked: Checked[Settings]) -> None:
    """A warning where receivers would not take our reports for ours (RFC 8460 section 3)."""
    settings = checked.value
    if settings is None or settings.tls_report is None or checked.bad(_SENDER):
        return
    domain = split(settings.tls_report.sender)[1]
    signing = {one.domain for one in settings.dkim}
    if not any(domain == one or domain.endswith(f".{one}") for one in signing):
        message = f"reports from {quoted(domain)} would not be signed, and not be believed"
        _warn(checked, _SENDER, message, f"add a [[dkim]] for {domain}")


def check_resolvers(checked: Checked[Settings], system: Sequence[str]) -> None:
    """``system``: the addresses of this machine's resolvers."""
    settings = checked.value
    if settings is None or not settings.tls.dane or settings.tls.dane_nameservers:
        return
    away = [one for one in system if not ip_address(one.partition("%")[0]).is_loopback]
    if away or not system:
        listed = f" ({', '.join(away[:3])})" if away else ""
        message = f"no TLSA record is believed: the system's resolvers are not on loopback{listed}"
        hint = "name those that validate in dane_nameservers; see penstock tls check"
        _warn(checked, ("tls", "dane"), message, hint)


def _warn(checked: Checked[Settings], path: Path, message: str, hint: str) -> None:
    document, found = checked.document, checked.original(path)
    line = document.line(found)
    checked.problems.append(Problem(document.file, line, found, message, hint, warning=True))
