"""What an enhanced status code means where no wording is known (RFC 3463 and its registry).

The last resort but one: the codes are used loosely, so a provider's wording always comes first. The
subject and detail count; the class says only whether it is for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from penstock.mail.verdict import Category

_C = Category
BY_DETAIL: Mapping[str, Category] = MappingProxyType(
    {
        "1.0": _C.BAD_MAILBOX,  # other address status
        "1.1": _C.BAD_MAILBOX,
        "1.2": _C.BAD_DOMAIN,
        "1.3": _C.BAD_MAILBOX,
        "1.4": _C.BAD_MAILBOX,  # ambiguous
        "1.5": _C.UNKNOWN,  # valid, in a failure
        "1.6": _C.BAD_MAILBOX,  # moved
        "1.7": _C.PROTOCOL,  # the sender's address
        "1.8": _C.AUTH_FAILURE,  # the sender's domain does not exist
        "1.10": _C.BAD_DOMAIN,  # null MX (RFC 7505)
        "2.1": _C.INACTIVE_MAILBOX,
        "2.2": _C.MAILBOX_FULL,
        "2.3": _C.MESSAGE_TOO_LARGE,
        "2.4": _C.SYSTEM,  # expansion of a mailing list
        "3.3": _C.PROTOCOL,  # not capable
        "3.4": _C.MESSAGE_TOO_LARGE,
        "4.1": _C.NETWORK,  # no answer from the host
        "4.2": _C.NETWORK,
        "4.3": _C.NETWORK,  # name server
        "4.4": _C.NETWORK,  # no route
        "4.7": _C.EXPIRED,
        "5.3": _C.POLICY,  # too many recipients
        "7.20": _C.AUTH_FAILURE,  # RFC 7372 from here
        "7.21": _C.AUTH_FAILURE,
        "7.22": _C.AUTH_FAILURE,
        "7.23": _C.AUTH_FAILURE,
        "7.24": _C.AUTH_FAILURE,
        "7.25": _C.AUTH_FAILURE,
        "7.26": _C.AUTH_FAILURE,
        "7.27": _C.AUTH_FAILURE,  # the sender's domain has a null MX
        "7.28": _C.THROTTLED,  # mail flood
        "7.29": _C.AUTH_FAILURE,
        "7.30": _C.AUTH_FAILURE,
    }
)
BY_SUBJECT: Mapping[str, Category] = MappingProxyType(
    {
        "3": _C.SYSTEM,
        "4": _C.SYSTEM,
        "5": _C.PROTOCOL,
        "6": _C.PROTOCOL,
        "7": _C.POLICY,
    }
)


def category_of(status: str) -> Category:
    """``status`` is ``""`` or like ``5.1.1``."""
    _, _, rest = status.partition(".")
    found = BY_DETAIL.get(rest)
    if found is None:
        found = BY_SUBJECT.get(rest.partition(".")[0], Category.UNKNOWN)
    # mail that is only put off has been given up by nobody
    return Category.NETWORK if found is Category.EXPIRED and status[0] == "4" else found
