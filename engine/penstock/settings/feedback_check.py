"""What cannot be meant about reports, over all files together: config.toml, tenants, key files.

Some of it may be right on a machine that is one of several, so it is a warning: the domain's mail
exchanger may be elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.mail.address import split
from penstock.policy.feedback import Feedback, all_domains
from penstock.policy.limits import Provenance
from penstock.policy.policies import Policies
from penstock.policy.problem import Path, Problem, quoted
from penstock.policy.validation import Checked
from penstock.settings.files import Read, reason
from penstock.settings.models import Settings
from penstock.settings.token_keys import file_mode, load_token_keys

_KEYS: Path = ("feedback", "keys")
_KEYS_HINT = (
    'make a file with penstock feedback keygen FILE, and name it in [feedback] keys = "FILE"'
)
_FOR_RELAYING = ("auth", "relay_from", "tenant", "campaign", "class", "pool")
_RECIPIENTS_MIN = 100


def check_files(
    checked: Checked[Settings], read: Read, mode: Callable[[str], int] = file_mode
) -> None:
    """Add a problem where the file of the keys cannot be used."""
    settings = checked.value
    if settings is None or not settings.feedback.keys or checked.bad(_KEYS):
        return
    try:
        load_token_keys(settings.feedback.keys, read, mode)
    except OSError as error:
        name = quoted(settings.feedback.keys, 200)
        checked.contradict(_KEYS, f"{name} cannot be read: {reason(error)}", _KEYS_HINT)
    except ValueError as error:
        checked.contradict(_KEYS, str(error))


def check_listeners(checked: Checked[Settings], settings: Settings) -> None:
    """Add a problem for what a listener of role feedback cannot have, or a relay."""
    for index, smtp in enumerate(settings.smtp):
        here: Path = ("smtp", index)
        role: Path = (*here, "role")
        if smtp.role == "relay":
            if smtp.domains:
                message = 'only a listener with role = "feedback" has domains'
                checked.contradict((*here, "domains"), message, about=[role, (*here, "domains")])
            if smtp.recipients_max < _RECIPIENTS_MIN:
                where = (*here, "recipients_max")
                message = f"fewer than {_RECIPIENTS_MIN} recipients (RFC 5321 4.5.3.1.8)"
                checked.contradict(where, message, about=[role, where])
            continue
        if not settings.feedback.keys:
            message = "a listener of role feedback needs keys, or it could take nothing"
            checked.contradict(role, message, _KEYS_HINT, about=[role, _KEYS])
        for name in _FOR_RELAYING:
            if getattr(smtp, "class_" if name == "class" else name):
                path = (*here, name)
                message = "a listener of role feedback relays for nobody"
                checked.contradict(path, message, f"remove {name}", about=[role, path])


def check_tenants(checked: Checked[Settings], policies: Policies) -> None:
    """Add what the tenants' feedback wants and the settings do not have."""
    settings = checked.value
    if settings is None:
        return
    _postmaster(checked, settings, policies)
    wanted = {name: one for name, one in policies.feedbacks().items() if one.on}
    if wanted and not settings.feedback.keys and not checked.bad(_KEYS):
        for name, one in wanted.items():
            field, place = next(_set_here(one))
            message = f"tenant {quoted(name)}: {field} needs a key for its tokens"
            checked.problems.append(Problem(place.file, place.line, (), message, _KEYS_HINT))
        return
    checked.problems += _warnings(settings, wanted)


def _postmaster(checked: Checked[Settings], settings: Settings, policies: Policies) -> None:
    """Mail for a person must not come back to where it is sent on from."""
    path: Path = ("feedback", "postmaster")
    domain = split(settings.feedback.postmaster)[1]
    taken = domains(policies).union(*(smtp.domains for smtp in settings.smtp))
    if domain in taken:
        message = f"{quoted(domain)} takes reports only: this would come back for ever"
        checked.contradict(path, message, "give an address that somebody reads elsewhere")


def _warnings(settings: Settings, wanted: dict[str, Feedback]) -> Iterator[Problem]:
    if settings.delivery != "live":
        return
    signing = {dkim.domain for dkim in settings.dkim}
    listens = any(smtp.role == "feedback" for smtp in settings.smtp)
    told: set[tuple[Provenance, str]] = set()
    for name, one in wanted.items():
        for field in ("bounce_domain", "unsubscribe_domain", "cfbl_domain"):
            domain, place = getattr(one, field), one.where(field)
            if domain and not listens and (place, field) not in told:
                told.add((place, field))
                yield Problem(
                    place.file,
                    place.line,
                    (),
                    f"tenant {quoted(name)}: nothing here takes the mail of {quoted(domain)}",
                    'add an [[smtp]] with role = "feedback", unless its MX is another machine',
                    warning=True,
                )
        place = one.where("unsubscribe_url")
        if one.unsubscribe_url and not signing and (place, "unsubscribe_url") not in told:
            told.add((place, "unsubscribe_url"))
            yield Problem(
                place.file,
                place.line,
                (),
                f"tenant {quoted(name)}: one-click unsubscribing counts only where it is signed",
                "add a [[dkim]] for the domain in From (RFC 8058 4)",
                warning=True,
            )


def _set_here(one: Feedback) -> Iterator[tuple[str, Provenance]]:
    return ((name, place) for name, place in one.places.items() if getattr(one, name))


def domains(policies: Policies) -> frozenset[str]:
    """Those whose MX has to lead to a listener of role feedback."""
    return all_domains(policies.feedbacks())
