"""What cannot be meant, or cannot be used, in the settings of webhooks, sinks and the page."""

from __future__ import annotations

import importlib.util
import string
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from penstock.policy.problem import Path, quoted
from penstock.policy.validation import Checked
from penstock.settings.files import Read, reason
from penstock.settings.models import Settings
from penstock.webhooks.address import is_public
from penstock.webhooks.signature import BadSecret, parse_secrets

MODULES = {"nats": "nats", "kafka": "aiokafka"}
PLACES = {"tenant", "type"}


def find(checked: Checked[Settings]) -> None:
    """Add a problem to ``checked`` for every contradiction in its value."""
    if checked.value is None:
        return
    settings = checked.value
    _names(checked, "webhook", [one.name for one in settings.webhook])
    _names(checked, "sink", [one.name for one in settings.sink])
    for index in range(len(settings.webhook)):
        _webhook(checked, settings, index)
    both = settings.webhooks
    if both.slow_connections_max >= both.connections_max:
        checked.contradict(
            ("webhooks", "slow_connections_max"),
            f"nothing is left for others of the {both.connections_max} connections",
            about=[("webhooks", "slow_connections_max"), ("webhooks", "connections_max")],
        )
    for index in range(len(settings.sink)):
        _sink(checked, settings, index)
    page = settings.unsubscribe
    if page is not None and bool(page.certificate) != bool(page.key):
        given, missing = ("certificate", "key") if page.certificate else ("key", "certificate")
        checked.contradict(
            ("unsubscribe", given),
            f"a {given} needs a {missing}",
            f'give {missing} = "FILE.pem"',
            about=[("unsubscribe", given), ("unsubscribe", missing)],
        )


def check_files(checked: Checked[Settings], read: Read) -> None:
    """Add a problem for every file of secrets that is missing or wrong."""
    for index, webhook in enumerate(checked.value.webhook if checked.value else ()):
        path: Path = ("webhook", index, "secret_file")
        if checked.bad(path):
            continue
        try:
            parse_secrets(read(webhook.secret_file))
        except OSError as error:
            message = f"{quoted(webhook.secret_file, 200)} cannot be read: {reason(error)}"
            checked.contradict(path, message)
        except BadSecret as error:
            checked.contradict(path, f"{quoted(webhook.secret_file, 200)} {error}")


def _names(checked: Checked[Settings], table: str, names: Sequence[str]) -> None:
    seen: dict[str, Path] = {}
    for index, name in enumerate(names):
        path: Path = (table, index, "name")
        first = seen.setdefault(name, path)
        if first != path:
            message = f"the {table} {quoted(name)} stands in line {checked.line(first)} too"
            checked.contradict(path, message, about=[path, first])


def _webhook(checked: Checked[Settings], settings: Settings, index: int) -> None:
    here: Path = ("webhook", index)
    webhook = settings.webhook[index]
    parts = urlsplit(webhook.url)
    about: list[Path] = [(*here, "url"), (*here, "allow_private")]
    if not webhook.allow_private:
        if parts.scheme != "https":
            message = "events would cross the network in the clear"
            checked.contradict((*here, "url"), message, "use https", about)
        elif _is_address(parts.hostname or "") and not is_public(parts.hostname or ""):
            message = f"{parts.hostname} is not a public address"
            checked.contradict((*here, "url"), message, "set allow_private = true", about)
    if webhook.queue_bytes_max < 2 * webhook.batch_bytes_max:
        checked.contradict(
            (*here, "queue_bytes_max"),
            "less than two batches",
            about=[(*here, "queue_bytes_max"), (*here, "batch_bytes_max")],
        )


def _sink(checked: Checked[Settings], settings: Settings, index: int) -> None:
    here: Path = ("sink", index)
    sink = settings.sink[index]
    if importlib.util.find_spec(MODULES[sink.kind]) is None:
        checked.contradict(
            (*here, "kind"),
            f"{sink.kind} needs a library that is not installed",
            f"pip install 'penstock[{sink.kind}]'",
            about=[(*here, "kind")],
        )
    try:
        names = {
            name for _, name, _, _ in string.Formatter().parse(sink.subject) if name is not None
        }
    except ValueError:
        names = {"{"}
    if not names <= PLACES:
        checked.contradict(
            (*here, "subject"),
            f"only {{tenant}} and {{type}} stand for something: {quoted(sink.subject)}",
            about=[(*here, "subject")],
        )
    if bool(sink.user) != bool(sink.password_file):
        given, missing = ("user", "password_file") if sink.user else ("password_file", "user")
        checked.contradict(
            (*here, given),
            f"a {given} needs a {missing}",
            about=[(*here, given), (*here, missing)],
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
