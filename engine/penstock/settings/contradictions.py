"""Combinations of settings that cannot all be meant, each reported at the key to change.

These run on what could be understood of the file, beside the errors in single keys, so that one
run shows both; ``about`` names the keys that a rule looks at, and a rule is silent where one of
them was bad.
"""

from __future__ import annotations

from penstock.policy.problem import Path, quoted
from penstock.policy.units import duration_text, size_text
from penstock.policy.validation import Checked
from penstock.settings import api, outward, tls_check
from penstock.settings.addresses import parse_listen
from penstock.settings.feedback_check import check_listeners
from penstock.settings.models import Settings

SOCKET_PATH_MAX = 107  # sun_path of unix(7) holds 108 bytes, the last of them NUL
_SEGMENT_END_MAX = (1 << 32) - 1  # offsets in a segment have 32 bits


def find(checked: Checked[Settings]) -> None:
    """Add a problem to ``checked`` for every contradiction in its value."""
    if checked.value is not None:
        _listeners(checked, checked.value)
        check_listeners(checked, checked.value)
        _accounts(checked, checked.value)
        _permits(checked, checked.value)
        _taken_addresses(checked, checked.value)
        _routes(checked, checked.value)
        _signatures(checked, checked.value)
        _bounds(checked, checked.value)
        outward.find(checked)
        api.find(checked)
        tls_check.find(checked)


def _listeners(checked: Checked[Settings], settings: Settings) -> None:
    for index, smtp in enumerate(settings.smtp):
        here: Path = ("smtp", index)
        if smtp.tls != "none":
            for name in ("certificate", "key"):
                if not getattr(smtp, name):
                    checked.contradict(
                        (*here, "tls"),
                        f'"{smtp.tls}" needs a {name}',
                        f'give {name} = "FILE.pem"',
                        about=[(*here, "tls"), (*here, name)],
                    )
        elif smtp.auth and not parse_listen(smtp.listen).loopback:
            checked.contradict(
                (*here, "auth"),
                f"passwords would cross the network in the clear at {smtp.listen}",
                'set tls = "starttls" or listen on a loopback address',
                about=[(*here, "tls"), (*here, "listen")],
            )
        most = settings.queue.uncommitted_bytes_max
        if smtp.size_max_bytes > most:
            checked.contradict(
                (*here, "size_max_bytes"),
                f"a message of {size_text(smtp.size_max_bytes)} could never be stored",
                f"queue.uncommitted_bytes_max is {size_text(most)}",
                about=[(*here, "size_max_bytes"), ("queue", "uncommitted_bytes_max")],
            )


def _accounts(checked: Checked[Settings], settings: Settings) -> None:
    for index, smtp in enumerate(settings.smtp):
        seen: dict[str, Path] = {}
        for number, account in enumerate(smtp.auth):
            path: Path = ("smtp", index, "auth", number)
            first = seen.setdefault(account.user, path)
            if first != path:
                message = (
                    f"the user {quoted(account.user)} stands in line {checked.line(first)} too"
                )
                checked.contradict(
                    (*path, "user"), message, about=[(*path, "user"), (*first, "user")]
                )


def _permits(checked: Checked[Settings], settings: Settings) -> None:
    """What an account's mail says by default has to be among what it may say."""
    for index, smtp in enumerate(settings.smtp):
        for number, account in enumerate(smtp.auth):
            path: Path = ("smtp", index, "auth", number)
            for name, own, general, allowed in (
                ("pool", account.pool, smtp.pool, account.pools),
                ("class", account.class_, smtp.class_, account.classes),
            ):
                default = own or general
                if not default or not allowed or default in allowed:
                    continue
                several = "pools" if name == "pool" else "classes"
                source = (*path, name) if own else ("smtp", index, name)
                checked.contradict(
                    source if own else (*path, several),
                    f"the account's {name} {quoted(default)} is not among its {several}",
                    f"{several}: {', '.join(allowed)}",
                    about=[source, (*path, several)],
                )


def _taken_addresses(checked: Checked[Settings], settings: Settings) -> None:
    places: list[tuple[Path, str]] = [
        (("smtp", index, "listen"), smtp.listen) for index, smtp in enumerate(settings.smtp)
    ]
    if settings.http is not None:
        places.append((("http", "listen"), settings.http.listen))
    if settings.unsubscribe is not None:
        places.append((("unsubscribe", "listen"), settings.unsubscribe.listen))
    places += [(("api", index, "listen"), one.listen) for index, one in enumerate(settings.api)]
    # In the order of the file, so that it is the later one that is said to be wrong.
    places.sort(key=lambda place: checked.line(place[0]))
    for number, (path, text) in enumerate(places):
        address = parse_listen(text)
        for other, earlier in places[:number]:
            if address.overlaps(parse_listen(earlier)):
                message = f"{text} is taken by the listener in line {checked.line(other)}"
                checked.contradict(path, message, about=[path, other])
                break


def _routes(checked: Checked[Settings], settings: Settings) -> None:
    for index, route in enumerate(settings.route[:-1]):
        if "*" in route.domains:
            line = checked.line(("route", index, "domains"))
            message = f"never used: the route in line {line} takes every domain before it"
            checked.contradict(("route", index + 1), message, "put the route with * last")
            return


def _signatures(checked: Checked[Settings], settings: Settings) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for index, dkim in enumerate(settings.dkim):
        path: Path = ("dkim", index)
        first = seen.setdefault((dkim.domain, dkim.selector), path)
        if first != path:
            record = f"{dkim.selector}._domainkey.{dkim.domain}"
            message = f"{record} stands in line {checked.line(first)} too"
            checked.contradict(
                (*path, "selector"),
                message,
                "a second key needs its own selector",
                [(*at, name) for at in (path, first) for name in ("domain", "selector")],
            )


def _socket_paths(checked: Checked[Settings], settings: Settings) -> None:
    """Whose path is derived is as long as what it is derived from; one message for all of them."""
    for name, what in (("control", "control socket's"), ("api_socket", "API socket's")):
        size = len(getattr(settings, name).encode("utf-8", "replace"))
        if size <= SOCKET_PATH_MAX:
            continue
        about: list[Path] = [(name,), ("control",), ("spool",)]
        written = next((one for one in about if one in checked.document.marks), about[-1])
        message = f"the {what} path has {size} bytes, more than {SOCKET_PATH_MAX}"
        key = "control" if written == ("spool",) else str(written[0])
        file = "control.sock" if key == "control" else "api.sock"
        checked.contradict(written, message, f'set {key} = "/run/penstock/{file}"', about)
        return


def _bounds(checked: Checked[Settings], settings: Settings) -> None:
    _socket_paths(checked, settings)
    queue, dns = settings.queue, settings.dns
    if queue.segment_bytes + 2 * queue.uncommitted_bytes_max > _SEGMENT_END_MAX:
        about = [("queue", "segment_bytes"), ("queue", "uncommitted_bytes_max")]
        written = about[0] if about[0] in checked.document.marks else about[1]
        message = "a segment and twice what may wait for the disk come to more than 4 GiB"
        checked.contradict(written, message, about=about)
    if dns.ttl_min_s > dns.ttl_max_s:
        about = [("dns", "ttl_min_s"), ("dns", "ttl_max_s")]
        written = about[0] if about[0] in checked.document.marks else about[1]
        message = (
            f"the least time, {duration_text(dns.ttl_min_s)}, is longer than the "
            f"longest, {duration_text(dns.ttl_max_s)}"
        )
        checked.contradict(written, message, about=about)
