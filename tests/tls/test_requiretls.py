"""REQUIRETLS (RFC 8689) on the way out: to verified hosts that offer it, and to no other."""

from __future__ import annotations

from penstock.policy.limits import Limits
from penstock.relay.tls_demand import DomainTls, Terms

BY = "(demanded by REQUIRETLS, the message)"


def required(published=None):
    return Terms(published or DomainTls(), None, requiretls=True)


async def test_it_is_passed_on_to_a_verified_host_that_offers_it(world) -> None:
    host = await world.host()
    host.requiretls = True
    world.publish("there.example", "mx.there.example")
    terms = required(await world.published("there.example"))
    assert await world.deliver(terms=terms, requiretls=True) == "delivered TLSv1.3"
    assert host.said == ["FROM:<bob@here.example> SIZE=21 REQUIRETLS"]


async def test_other_mail_is_not_marked(world) -> None:
    host = await world.host()
    host.requiretls = True
    assert await world.deliver() == "delivered TLSv1.3"
    assert host.said == ["FROM:<bob@here.example> SIZE=21"]


async def test_a_host_that_does_not_offer_it(world) -> None:
    host = await world.host()
    terms = required(DomainTls(secure=True))
    assert await world.deliver(terms=terms, requiretls=True) == (
        "bounced 550 5.7.30 REQUIRETLS is required, not offered by host"
    )
    assert host.got == []


async def test_the_next_host_that_offers_it(world) -> None:
    first, second = await world.host("mx1.there.example"), await world.host("mx2.there.example")
    second.requiretls = True
    terms = required(DomainTls(secure=True))
    assert await world.deliver(terms=terms, requiretls=True) == "delivered TLSv1.3"
    assert (first.got, second.got) == ([], ["TLSv1.3"])


async def test_a_host_that_is_not_verified(world) -> None:
    host = await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    host.requiretls = True
    terms = required(DomainTls(secure=True))
    assert await world.deliver(terms=terms, requiretls=True) == (
        f"bounced 550 5.7.10 certificate is self-signed {BY}"
    )
    host.stripped = True
    assert await world.deliver(terms=terms, requiretls=True) == (
        f"bounced 550 5.7.10 STARTTLS not offered {BY}"
    )
    assert host.got == []


async def test_hosts_that_nobody_vouches_for(world) -> None:
    """Whoever forges the MX records could name a host with a good certificate of its own."""
    host = await world.host()
    host.requiretls = True
    assert await world.deliver(terms=required(), requiretls=True) == (
        f"bounced 550 5.7.10 Neither DNSSEC nor MTA-STS vouches for the domain's MX records {BY}"
    )
    assert host.connections == 0
    trouble = DomainTls(sts_trouble=("sts-policy-fetch-error", "no answer"))
    reply = await world.deliver(terms=required(trouble), requiretls=True)
    assert reply == f"deferred 451 4.7.10 MTA-STS: no answer {BY}"


async def test_a_policy_under_test_vouches_for_hosts_and_is_kept_to(world) -> None:
    host = await world.host("mx.evil.example")
    host.requiretls = True
    world.publish("there.example", "mx.there.example", mode="testing")
    terms = required(await world.published("there.example"))
    reply = await world.deliver(terms=terms, requiretls=True)
    assert "is not in the domain's MTA-STS policy" in reply
    assert host.connections == 0


async def test_it_is_never_less_than_the_operator_says(world) -> None:
    demand = required(DomainTls(secure=True)).demand(Limits(tls="none", tls_min_version="1.3"))
    assert (demand.mode, demand.min_version) == ("verified", "1.3")
