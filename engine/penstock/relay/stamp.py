"""What an outgoing message carries so that what comes back finds it.

The return path and a few header fields, all of a tenant's choice (:mod:`penstock.policy.feedback`),
with signed tokens (:mod:`penstock.mail.verp`). A transaction of one recipient gets tokens of
that delivery; one of several can only name the message. Fields that the message has of its own
stay, and ours are then left out. Messages with the null reverse-path get nothing: nobody is to
answer those.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from penstock.mail.verp import BOUNCE, COMPLAINT, UNSUBSCRIBE, TokenKeys, address, make_token
from penstock.policy.feedback import Feedback
from penstock.policy.policies import Policies
from penstock.policy.tenants import BULK
from penstock.relay.lane import Batch

TENANTS_MAX = 10_000
REFERENCE = "X-Penstock-Ref"


class Stamped(NamedTuple):
    """``return_path``: ``""`` where it stays as it was; ``fields``: whole header fields;
    ``also_signs``: the domain whose DKIM key has to sign as well, ``""`` for none."""

    return_path: str
    fields: bytes
    also_signs: str


class Stamp:
    """``now`` is wall time. ``keys`` and ``policies`` change with a reload, both at once."""

    def __init__(self, keys: TokenKeys, policies: Policies, now: Callable[[], float]) -> None:
        self._keys, self._policies, self._now = keys, policies, now
        self._known: dict[str, Feedback | None] = {}

    def of(self, tenant: str) -> Feedback | None:
        """What mail of ``tenant`` is to carry; ``None`` where that is nothing."""
        try:
            return self._known[tenant]
        except KeyError:
            found = self._policies.feedback(tenant)
        if len(self._known) >= TENANTS_MAX:
            self._known.clear()
        self._known[tenant] = result = found if found.on else None
        return result

    def stamp(self, feedback: Feedback, batch: Batch, has: Container[bytes]) -> Stamped:
        """For the recipients of one transaction; ``has``: names of the fields of the message, in
        lower case."""
        keys, now = self._keys, self._now()
        envelope = batch.stored[0].envelope
        exact = len(batch.refs) == 1
        ref = batch.refs[0] if exact else envelope.ref
        class_ = self._policies.resolve_class(envelope.tenant, envelope.class_)[0]
        return_path = ""
        if feedback.bounce_domain:
            token = make_token(keys, BOUNCE, ref, exact, now)
            return_path = address(BOUNCE, token, feedback.bounce_domain)
        complaint = make_token(keys, COMPLAINT, ref, exact, now)
        fields = f"{REFERENCE}: {complaint}\r\n"
        cfbl = feedback.cfbl_domain if b"cfbl-address" not in has else ""
        if cfbl:
            fields += f"CFBL-Address: {address(COMPLAINT, complaint, cfbl)}; report=arf\r\n"
        if feedback.feedback_id and b"feedback-id" not in has:
            whose = f"{envelope.campaign}:{envelope.tenant}:{class_}:{feedback.feedback_id}"
            fields += f"Feedback-ID: {whose}\r\n"
        if feedback.postmaster_msgtype and b"x-postmaster-msgtype" not in has:
            fields += f"X-Postmaster-Msgtype: {feedback.postmaster_msgtype}\r\n"
        if class_ == BULK and exact and feedback.unsubscribes and b"list-unsubscribe" not in has:
            fields += _way_out(feedback, make_token(keys, UNSUBSCRIBE, ref, exact, now))
        return Stamped(return_path, fields.encode("ascii", "replace"), cfbl)


def _way_out(feedback: Feedback, token: str) -> str:
    """The https form first: Gmail and Yahoo take the first that they can use (RFC 8058)."""
    ways = []
    if feedback.unsubscribe_url:
        ways.append(f"<{feedback.unsubscribe_url}/{token}>")
    if feedback.unsubscribe_domain:
        where = address(UNSUBSCRIBE, token, feedback.unsubscribe_domain)
        ways.append(f"<mailto:{where}?subject=unsubscribe>")
    field = "List-Unsubscribe: " + ",\r\n\t".join(ways) + "\r\n"
    if feedback.unsubscribe_url:
        field += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    return field
