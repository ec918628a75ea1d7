"""Every kind of problem that the API answers with: the page of problems is made from this table.

A kind is a slug, the last part of the problem's ``type``, which programs may rely on; its title is
the same in every answer. Each room of routes has a table of its own here.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """``meaning``: when it is said, and what to do about it."""

    slug: str
    status: int
    title: str
    meaning: str


BASE: Final = (
    Kind(
        "bad-request",
        400,
        "The request is not understood",
        "It is no HTTP that can be read, or its headers contradict each other. Mend the client.",
    ),
    Kind(
        "bad-json",
        400,
        "The body is not JSON",
        "The detail says what is wrong, with line and column. Bodies are JSON in UTF-8 (RFC 8259) "
        "without `NaN`, nested at most 100 deep.",
    ),
    Kind(
        "key-missing",
        401,
        "A key is needed",
        "Send `Authorization: Bearer psk_...`. Without a key only clients on the machine itself "
        'are served, and only with `delivery = "sandbox"`; browsers never are, for other sites.',
    ),
    Kind(
        "key-refused",
        401,
        "The key is not good",
        "It is mistyped, was revoked, or has expired. `penstock key list` shows those that are "
        "good.",
    ),
    Kind(
        "scope-missing",
        403,
        "The key may not do this",
        "The detail says which scope is needed and which the key has. Scopes are given when a key "
        "is created and cannot be changed.",
    ),
    Kind(
        "network-refused",
        403,
        "Not from this address",
        "The listener or the key takes requests from certain networks only.",
    ),
    Kind(
        "other-tenant",
        403,
        "The key is another tenant's",
        "A key with a tenant sees and does only what is that tenant's.",
    ),
    Kind(
        "not-found",
        404,
        "There is nothing here",
        "No such address, or no such thing: the detail says which. What belongs to another tenant "
        "is answered like what does not exist.",
    ),
    Kind(
        "method-not-allowed",
        405,
        "The method is not allowed here",
        "The header `Allow` names those that are.",
    ),
    Kind(
        "too-slow",
        408,
        "The request did not come in time",
        "Its body has to be complete within the listener's `request_timeout_s`.",
    ),
    Kind(
        "conflict",
        409,
        "It cannot be done as things are",
        "The detail says what stands against it.",
    ),
    Kind(
        "too-large",
        413,
        "The request is too large",
        "The listener has a `request_bytes_max`, and a key may have a smaller one.",
    ),
    Kind(
        "media-type",
        415,
        "The body is of the wrong kind",
        "The detail says which `Content-Type` is taken; bodies are not compressed.",
    ),
    Kind(
        "invalid",
        422,
        "Something in the request is wrong",
        "`errors` has one entry for each field: where it stands, what was wrong, what is allowed.",
    ),
    Kind(
        "rate-limited",
        429,
        "Too many requests",
        "The key has a rate. Come again after the seconds in `Retry-After`.",
    ),
    Kind(
        "header-too-large",
        431,
        "The request's head is too large",
        "URL and headers together may have as many bytes as the listener's `head_bytes_max`.",
    ),
    Kind(
        "failed",
        500,
        "The request failed here",
        "An error of ours; the daemon's log says more. Trying again may help.",
    ),
    Kind(
        "unavailable",
        503,
        "Not now",
        "The daemon starts, stops or is upgraded, or has too much to do. Come again after the "
        "seconds in `Retry-After`.",
    ),
    Kind(
        "no-room",
        507,
        "There is no room for more mail",
        "The spool's disk is nearly full. Nothing was accepted; come again after the seconds in "
        "`Retry-After`.",
    ),
)
MESSAGES: Final[tuple[Kind, ...]] = (
    Kind(
        "no-recipient",
        422,
        "Nobody gets the message",
        "All recipients are suppressed or invalid; `recipients` has the reason of each. Nothing "
        "was accepted.",
    ),
    Kind(
        "key-reused",
        409,
        "The Idempotency-Key stands for another request",
        "The same key came with another body, address or query before. Use a new key for each "
        "request, and the same only to repeat it as it was. Nothing was accepted.",
    ),
    Kind(
        "in-progress",
        409,
        "The request with this Idempotency-Key is still at work",
        "It came twice, and the first is not done. Ask again after the seconds in `Retry-After`: "
        "the answer will be that of the first.",
    ),
)
STEERING: Final = (
    Kind(
        "whole-daemon",
        403,
        "A key without a tenant is needed",
        "What was asked cannot be narrowed to one tenant: the daemon's state, its policies, its "
        "sources.",
    ),
    Kind(
        "local-only",
        403,
        "Only on the machine itself",
        "It is done over the Unix socket, `api_socket` of the settings, which needs no key.",
    ),
)

KINDS: Final = {kind.slug: kind for kind in (*BASE, *MESSAGES, *STEERING)}
