"""What a return path, the header fields and their tokens cost a message of 10 KiB.

Builds the transaction that goes over the wire, without and with what brings reports back, unsigned
and signed with Ed25519; and makes and reads single tokens. CPU time, best of several rounds.

    python -m bench.stamp [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, cast

from bench.sign import cpu_us, message
from penstock.mail.dkim import Signer
from penstock.mail.dkim_keys import keygen, load_key
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.envelope import Envelope, Recipient
from penstock.mail.verp import Key, TokenKeys, make_token, read_token
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.relay.build import Builder
from penstock.relay.lane import Batch, Ticket
from penstock.relay.spool import Stored
from penstock.relay.stamp import Stamp

NOW = 1_790_000_000.0
REF = 7 << 48 | 123456
KEYS = TokenKeys([Key("0", b"k" * 32)])
RETURN_PATH = 'bounce_domain = "b.example.com"\n'
EVERYTHING = (
    RETURN_PATH
    + 'unsubscribe_url = "https://u.example.com/u"\nunsubscribe_domain = "b.example.com"\n'
    + 'feedback_id = "example"\ncfbl_domain = "b.example.com"\npostmaster_msgtype = "news"\n'
)


def stamp(keys: str) -> Stamp:
    policies = load_policies({"tenants.toml": f"[tenant.shop.feedback]\n{keys}"})
    assert isinstance(policies, Policies), policies
    return Stamp(KEYS, policies, lambda: NOW)


def batch() -> Batch:
    """One bulk message without fields of its own for what is added here."""
    header, _, body = message().partition(b"List-Id:")
    content = header + body[body.index(b"\r\n\r\n") + 2 :]
    envelope = Envelope("app@example.com", [], NOW, REF, tenant="shop", campaign="spring")
    envelope.class_ = "bulk"
    return Batch([REF], [Stored(envelope, Recipient("someone@example.net"), content, b"")])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stamp")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    seconds = parser.parse_args(arguments).seconds
    one = batch()
    ticket = Ticket(cast(Any, None), one, 0.0)
    signer = Signer("example.com", "s1", load_key(keygen("ed25519")))
    print(f"{'CPU microseconds a message':<28}{'unsigned':>10}{'Ed25519':>10}")
    for name, used in (
        ("as handed in", None),
        ("tenant without settings", stamp("")),
        ("return path", stamp(RETURN_PATH)),
        ("everything", stamp(EVERYTHING)),
    ):
        figures = []
        for ring in (KeyRing(), KeyRing([signer])):
            builder = Builder(ring, lambda: NOW, used)
            figures.append(cpu_us(lambda builder=builder: builder.build(one, ticket), seconds))
        print(f"{name:<28}{figures[0]:>10.2f}{figures[1]:>10.2f}")
    token = make_token(KEYS, "b", REF, True, NOW)
    made = cpu_us(lambda: make_token(KEYS, "b", REF, True, NOW), seconds)
    read = cpu_us(lambda: read_token(KEYS, token, NOW, 30), seconds)
    print(f"a token: made in {made:.2f}, read in {read:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
