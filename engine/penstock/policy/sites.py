"""The site of a set of MX hosts: one name for all domains that the same hosts serve.

Connections, rates and queues are kept per site, so two domains behind the same hosts must get the
same name and two different sets never share one. The labels that all hosts end with are
written once and what stands before them as alternatives in the order of preference, after KumoMTA:
``(alt1|alt2|alt3|alt4)?.gmail-smtp-in.l.google.com``, where ``?`` says that one of the hosts has
nothing more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from penstock.policy.names import plain_name

SITE_LENGTH_MAX = 200
_DIGEST_LENGTH = 16


def site_of(mx: Sequence[tuple[int, str]]) -> str:
    """The name of the site with these (preference, host); ``""`` without hosts.

    Equal preferences are taken in the order of their names. A name longer than
    ``SITE_LENGTH_MAX`` is cut and ends with a digest of the whole.
    """
    ordered = sorted((preference, plain_name(host)) for preference, host in mx)
    hosts = list(dict.fromkeys(host for _, host in ordered))
    if len(hosts) < 2:
        return _bounded(hosts[0]) if hosts else ""
    labels = [host.split(".") for host in hosts]
    shared = 0
    while all(len(name) > shared for name in labels) and (
        len({name[-1 - shared] for name in labels}) == 1
    ):
        shared += 1
    cut = [".".join(name[: len(name) - shared]) for name in labels]
    text = f"({'|'.join(lead for lead in cut if lead)})"
    if not all(cut):
        text += "?"
    if shared:
        text += "." + ".".join(labels[0][-shared:])
    return _bounded(text)


def _bounded(text: str) -> str:
    if len(text) <= SITE_LENGTH_MAX:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{text[: SITE_LENGTH_MAX - _DIGEST_LENGTH - 1]}~{digest}"
