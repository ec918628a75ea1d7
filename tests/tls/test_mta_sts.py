"""MTA-STS from the record to the delivery, with a real policy host and real mail hosts."""

from __future__ import annotations

import asyncio

import pytest

from penstock.policy.limits import Limits
from penstock.relay.ports import LookupFailure
from penstock.smtp.reply import Reply

BY = "(demanded by MTA-STS, policy id 1)"
SERVFAIL = LookupFailure("failed", Reply.of(451, "4.4.3 DNS failed"))


async def test_a_policy_that_is_met(world) -> None:
    host = await world.host()
    world.publish("there.example", "mx.there.example")
    assert await world.deliver() == "delivered TLSv1.3"
    assert host.got == ["TLSv1.3"]
    assert world.results == ["sts ok"]
    (finding,) = world.findings
    assert finding.policy_domain == "there.example"
    assert finding.policy_string[:2] == ("version: STSv1", "mode: enforce")
    assert finding.mx_patterns == ("mx.there.example",)
    assert (finding.mx_host, finding.mx_address) == ("mx.there.example", "127.0.0.1")


async def test_without_a_record_nothing_is_fetched(world) -> None:
    await world.host(file=world.authority.make("x.example", self_signed=True))
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.policy_host.asked == []
    assert world.results == ["no-policy-found ok"]


@pytest.mark.parametrize(
    ("certificate", "result", "why"),
    [
        ({"days": -3}, "certificate-expired", "certificate expired on"),
        ({"self_signed": True}, "certificate-not-trusted", "certificate is self-signed"),
    ],
)
async def test_an_enforced_policy_lets_nothing_to_a_bad_certificate(
    world, certificate, result, why
) -> None:
    host = await world.host(file=world.authority.make("mx.there.example", **certificate))
    world.publish("there.example", "mx.there.example")
    reply = await world.deliver()
    assert reply.startswith(f"deferred 451 4.7.5 TLS handshake failed: {why}")
    assert reply.endswith(BY)
    assert host.got == []
    assert world.results == [f"sts {result}"]


async def test_an_enforced_policy_and_a_certificate_for_another_name(world) -> None:
    """It is the host's name that counts, not the patterns (RFC 8461 4.1)."""
    await world.host(file=world.authority.make("mx2.there.example"))
    world.publish("there.example", "*.there.example")
    assert await world.deliver() == (
        "deferred 451 4.7.5 TLS handshake failed: certificate is for mx2.there.example, "
        f"not mx.there.example {BY}"
    )


async def test_an_enforced_policy_and_starttls_stripped(world) -> None:
    host = await world.host()
    host.stripped = True
    world.publish("there.example", "mx.there.example")
    assert await world.deliver() == (
        f"deferred 451 4.7.4 TLS is required, STARTTLS not offered by host {BY}"
    )
    assert world.results == ["sts starttls-not-supported"]


async def test_hosts_that_the_policy_does_not_name_are_not_even_asked(world) -> None:
    host = await world.host("mx.evil.example")
    world.publish("there.example", "mx.there.example", "*.mail.there.example")
    assert await world.deliver() == (
        "deferred 451 4.7.1 MX host mx.evil.example is not in the domain's MTA-STS policy: "
        f"mx.there.example, *.mail.there.example {BY}"
    )
    assert host.connections == 0
    assert world.results == ["sts validation-failure"]
    good = await world.host()
    assert await world.deliver() == "delivered TLSv1.3"
    assert good.got == ["TLSv1.3"]
    assert host.connections == 0


async def test_opportunism_that_broke_is_no_excuse_for_an_enforced_policy(world) -> None:
    host = await world.host()
    world.memory.broke(f"mx.there.example:{host.port}", world.now)
    assert await world.deliver() == "delivered"
    world.publish("there.example", "mx.there.example")
    world.dns.records |= {"_mta-sts.there.example": "v=STSv1; id=1"}
    world.make_sts()
    assert await world.deliver() == "delivered TLSv1.3"


async def test_testing_loses_no_mail_and_reports_what_would_have_failed(world) -> None:
    host = await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    world.publish("there.example", "mx.there.example", mode="testing")
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.results == ["sts certificate-not-trusted", "sts ok"]
    assert host.connections == 2
    assert await world.deliver() == "delivered TLSv1.3"
    assert host.connections == 3, "that it fails is known for a while"


async def test_testing_where_all_is_well(world) -> None:
    host = await world.host()
    world.publish("there.example", "mx.there.example", mode="testing")
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.results == ["sts ok"]
    assert host.connections == 1


async def test_testing_with_hosts_that_it_does_not_name(world) -> None:
    await world.host("mx.other.example")
    world.publish("there.example", "mx.there.example", mode="testing")
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.results[0] == "sts validation-failure"


async def test_testing_in_the_clear(world) -> None:
    host = await world.host()
    host.stripped = True
    world.publish("there.example", "mx.there.example", mode="testing")
    assert await world.deliver() == "delivered"
    assert world.results[0] == "sts starttls-not-supported"


async def test_a_policy_of_mode_none_asks_for_nothing(world) -> None:
    await world.host(file=world.authority.make("x.example", self_signed=True))
    world.publish("there.example", mode="none")
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.results == ["no-policy-found ok"]


async def test_policy_makes_it_no_weaker_than_the_operator_says(world) -> None:
    await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    world.publish("there.example", "mx.there.example", mode="testing")
    assert "self-signed" in await world.deliver(limits=Limits(tls="verified"))
    world.publish("there.example", "mx.there.example", id="2")
    assert "self-signed" in await world.deliver(limits=Limits(tls="none"))


async def test_a_policy_is_kept_when_its_host_is_gone(world) -> None:
    await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    world.publish("there.example", "mx.there.example", max_age=7200)
    assert "self-signed" in await world.deliver()
    await world.policy_host.stop()
    world.make_sts()  # and over a restart
    assert "self-signed" in await world.deliver()
    world.dns.records["_mta-sts.there.example"] = SERVFAIL
    assert "self-signed" in await world.deliver()
    del world.dns.records["_mta-sts.there.example"]  # whoever forges DNS gains nothing
    assert "self-signed" in await world.deliver()
    world.now += 7200
    assert await world.deliver() == "delivered TLSv1.3"


async def test_a_new_id_is_fetched_and_the_old_policy_holds_until_it_is(world) -> None:
    await world.host(file=world.authority.make("mx.there.example", self_signed=True))
    world.publish("there.example", "mx.there.example")
    assert "self-signed" in await world.deliver()
    world.dns.records["_mta-sts.there.example"] = "v=STSv1; id=2"
    world.policy_host.policies["there.example"] = b"nonsense"
    assert "self-signed" in await world.deliver()
    assert world.fetches == ["ok", "sts-policy-invalid"]
    assert await world.deliver()
    assert len(world.fetches) == 2, "a host that failed is left alone for a while"
    world.now += 300
    world.publish("there.example", mode="none", id="2")
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.fetches[-1] == "ok"


async def test_it_is_refreshed_ahead_without_anybody_waiting(world) -> None:
    await world.host()
    world.publish("there.example", "mx.there.example", max_age=1000)
    await world.deliver()
    world.now += 500
    await world.published("there.example")
    assert world.policy_host.asked == ["there.example"], "nobody waits for it"
    await asyncio.gather(*world.sts._refreshing.values())
    assert world.policy_host.asked == ["there.example"] * 2
    kept = world.store.get("there.example", world.now)
    assert kept.expires_at == world.now + 1000


async def test_a_slow_policy_host_costs_its_domain_a_bounded_time(world) -> None:
    await world.host()
    world.publish("there.example", "mx.there.example")
    world.policy_host.hangs = True
    world.sts._fetch.__self__._config = type(world.sts._fetch.__self__._config)(
        world.files.ca, 0.1, world.policy_host.port, world.sts._fetch.__self__._config.networks
    )
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.fetches == ["sts-policy-fetch-error"]
    assert world.results == ["sts sts-policy-fetch-error", "no-policy-found ok"]
    assert "no answer within 0.1 s" in world.findings[0].detail


@pytest.mark.parametrize(
    ("answer", "result", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0", "sts-policy-fetch-error", "status 404"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.other.example/\r\nContent-Length: 0",
            "sts-policy-fetch-error",
            "status 301",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0",
            "sts-policy-fetch-error",
            "content type is text/html",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain", "sts-policy-invalid", "more than 65536"),
        (b"nonsense", "sts-policy-fetch-error", ""),
    ],
)
async def test_an_answer_that_is_no_policy(world, answer, result, why) -> None:
    await world.host()
    world.publish("there.example", "mx.there.example")
    body = b"x" * 70_000 if b"text/plain" in answer else b""
    world.policy_host.answers["there.example"] = answer + b"\r\n\r\n" + body
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.fetches == [result]
    assert why in world.findings[0].detail
    assert world.policy_host.asked == ["there.example"], "a redirect leads nowhere"


@pytest.mark.parametrize("names", [("wrong.example",), ("there.example",)])
async def test_the_policy_host_must_have_a_certificate_of_its_own(world, names) -> None:
    await world.host()
    await world.policy_host.stop()
    await world.policy_host.start(world.authority.make(*names))
    world.make_sts()
    world.publish("there.example", "mx.there.example")
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.fetches == ["sts-webpki-invalid"]
    assert world.results[0] == "sts sts-webpki-invalid"
    assert world.policy_host.asked == []


async def test_no_policy_is_fetched_from_a_private_network(world) -> None:
    await world.host()
    world.publish("there.example", "mx.there.example")
    fetcher = world.sts._fetch.__self__
    fetcher._config = type(fetcher._config)(world.files.ca, 2.0, world.policy_host.port)
    assert await world.deliver() == "delivered TLSv1.3"
    assert world.policy_host.asked == []
    assert "127.0.0.1, is not public" in world.findings[0].detail


async def test_a_neighbour_on_the_same_host_is_not_concerned(world) -> None:
    """The one's policy does not name the host that both use."""
    host = await world.host("mx.shared.example")
    world.publish("there.example", "mx.there.example")
    assert "is not in the domain's MTA-STS policy" in await world.deliver("there.example")
    assert await world.deliver("other.example") == "delivered TLSv1.3"
    assert host.got == ["TLSv1.3"]
