"""How a tenant's mail asks for what comes back, and where to: a value, and the tables it comes of.

``[tenant.NAME.feedback]`` is laid over ``[tenant."*".feedback]`` key by key, so that an operator
writes what is common once. That of ``"*"`` holds for mail of no tenant too. A key set to ``""`` is
off for that tenant, whatever ``"*"`` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from penstock.policy.limits import Placed, Provenance


@dataclass(frozen=True, slots=True)
class Feedback(Placed):
    """All off where ``""``. ``bounce_domain``: of the return path; ``unsubscribe_url``: what a
    token is put behind, with a slash; ``unsubscribe_domain``: of the mailto form;
    ``feedback_id``: the sender id of the Feedback-ID field; ``cfbl_domain``: of the CFBL-Address
    field (RFC 9477); ``postmaster_msgtype``: the label of X-Postmaster-Msgtype."""

    bounce_domain: str = ""
    unsubscribe_url: str = ""
    unsubscribe_domain: str = ""
    feedback_id: str = ""
    cfbl_domain: str = ""
    postmaster_msgtype: str = ""

    @property
    def on(self) -> bool:
        return any(getattr(self, name) for name in FEEDBACK_FIELDS)

    @property
    def unsubscribes(self) -> bool:
        """Bulk mail names a way out, which names the recipient."""
        return bool(self.unsubscribe_url or self.unsubscribe_domain)

    @property
    def domains(self) -> frozenset[str]:
        """Those whose mail has to come to a listener of role ``feedback``."""
        named = (self.bounce_domain, self.unsubscribe_domain, self.cfbl_domain)
        return frozenset(domain for domain in named if domain)

    def over(self, other: Feedback) -> Feedback:
        """What is set here, else what ``other`` says."""
        values: dict[str, Any] = {}
        places: dict[str, Provenance] = {}
        for name in FEEDBACK_FIELDS:
            whose = self if name in self.places else other
            values[name] = getattr(whose, name)
            if name in whose.places:
                places[name] = whose.places[name]
        return Feedback(**values, at=self.at, places=places)


FEEDBACK_FIELDS = tuple(item.name for item in fields(Feedback) if item.name not in ("at", "places"))
NO_FEEDBACK = Feedback()


def resolve(own: Feedback | None, common: Feedback | None) -> Feedback:
    """A tenant's settings over those of ``"*"``."""
    if own is None or own is common:
        return common or NO_FEEDBACK
    return own.over(common) if common is not None else own


def all_domains(feedbacks: Mapping[str, Feedback]) -> frozenset[str]:
    """Every domain that any of them names."""
    return frozenset(domain for one in feedbacks.values() for domain in one.domains)
