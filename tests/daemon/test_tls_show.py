"""``penstock tls show`` and what explain says of TLS, by a daemon and by hand."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli_tls_show import lines
from penstock.control import ControlError
from penstock.daemon.tls import Tls
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.policy.mta_sts import StsPolicy
from penstock.relay.ports import Destination, Host
from penstock.relay.tls_demand import DomainTls, Tlsa, TlsaSet
from penstock.relay.tls_show import shown
from penstock.sim.relay import loaded
from penstock.smtp.reply import Reply

HOSTS = (Host("mx1.there.example", ("192.0.2.1",), 10), Host("mx2.there.example", ("192.0.2.2",)))
STS = StsPolicy("enforce", ("mx1.there.example",), 604800, "7")


def text(published: DomainTls, policies: str = "") -> list[str]:
    found = Destination("there.example", HOSTS, "site", "", "mx", None, 0.0, published)
    answer = shown("there.example", found, loaded(policies))
    return [f"{name:<10}{line}".rstrip() for name, line in lines(answer)]


def test_a_domain_that_asks_for_nothing() -> None:
    assert text(DomainTls(), '[domain."there.example"]\ntls = "required"\n') == [
        "domain    there.example",
        "demands   required (policies/default.toml:2)",
        "policy    tls = required: policies/default.toml:2",
        "          tls_min_version = 1.2: built-in",
        "MTA-STS   none",
        "DANE      none",
        "hosts     mx1.there.example: required",
        "          mx2.there.example: required",
    ]


def test_an_enforced_policy() -> None:
    found = text(DomainTls(STS))
    assert found[1] == "demands   verified (mta-sts: policy id 7)"
    assert found[4] == "MTA-STS   enforce, id 7, mx mx1.there.example, for 604800 s"
    assert found[6] == "hosts     mx1.there.example: verified"
    assert found[7] == (
        "          mx2.there.example: not used: MX host mx2.there.example is not in the domain's "
        "MTA-STS policy: mx1.there.example"
    )


def test_a_policy_that_cannot_be_had() -> None:
    trouble = DomainTls(sts_trouble=("sts-policy-invalid", "mta-sts.there.example: no mode"))
    assert text(trouble)[4] == (
        "MTA-STS   none can be used: sts-policy-invalid, mta-sts.there.example: no mode"
    )


def test_dane() -> None:
    tlsa = TlsaSet("mx1.there.example", "_25._tcp.mx1.there.example", (Tlsa(3, 1, 1, b"\xab"),))
    found = text(DomainTls(tlsa=(tlsa,), secure=True))
    assert "DANE      _25._tcp.mx1.there.example: 3 1 1 ab" in found
    assert "hosts     mx1.there.example: authenticated by DANE" in found
    assert "          mx2.there.example: opportunistic" in found


def test_a_domain_without_hosts() -> None:
    gone = Outcome(Kind.BOUNCED, Phase.RESOLVE, Reply.of(550, "5.1.2 Domain not found"))
    assert [*lines(shown("gone.example", gone, loaded("")))] == [
        ("domain", "gone.example"),
        ("", "550 5.1.2 Domain not found"),
    ]


class Worker:
    def __init__(self, number: int, answer: Any) -> None:
        self.number, self.answer = number, answer

    async def call(self, method: str, params: Any = None, timeout_s: float = 30.0) -> Any:
        assert (method, params) == ("tls.show", {"domain": "there.example"})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_the_first_worker_that_is_there_answers() -> None:
    away, starting = Worker(1, ConnectionError("gone")), Worker(2, ControlError("starting", "x"))
    ready = Worker(3, {"domain": "there.example"})
    for asked in ("there.example", "ann@there.example", " there.example "):
        answer = await Tls([away, starting, ready]).show({"domain": asked})
        assert answer == {"domain": "there.example"}
    with pytest.raises(ControlError, match="no worker"):
        await Tls([away, starting]).show({"domain": "there.example"})
    for asked in ("", "x" * 254):
        with pytest.raises(ControlError, match="which domain"):
            await Tls([ready]).show({"domain": asked})


def test_a_daemon_says_it(daemon: Any) -> None:
    daemon.start()
    answer = daemon.call("tls.show", domain="ann@gmail.com")
    assert answer["domain"] == "gmail.com"
    assert answer["demand"]["tls"] == "opportunistic"
    assert answer["mta_sts"] is None, "nothing is asked of the world in the sandbox"
