"""``penstock tls check``: whether the resolvers validate, and whether they are believed."""

from __future__ import annotations

import pytest
from tests.tls.signed_dns import name_server  # noqa: F401  (a fixture)
from typer.testing import CliRunner

from penstock.cli_tls import app

ROOT = {(".", "SOA"): ["a.example. b.example. 1 2 3 4 5"]}


@pytest.fixture
def check(tmp_path, name_server):  # noqa: F811
    """``check(zone, unsigned)`` -> (exit code, what it says); without a zone, of no resolver."""

    def run(zone=None, unsigned=()):
        port = name_server(zone, unsigned) if zone is not None else 0
        path = tmp_path / "config.toml"
        named = f'dane_nameservers = ["127.0.0.1:{port}"]' if port else ""
        path.write_text(f'spool = "{tmp_path}/spool"\n[tls]\ndane = true\n{named}\n')
        found = CliRunner().invoke(app, ["check", "-c", str(path)])
        return found.exit_code, found.output.replace(str(port), "PORT") if port else found.output

    return run


def test_one_that_validates(check):
    code, said = check(ROOT)
    assert said == "127.0.0.1:PORT: validates DNSSEC\nDANE is on ([tls] dane)\n"
    assert code == 0


def test_one_that_does_not(check):
    code, said = check(ROOT, ["."])
    assert "127.0.0.1:PORT: answers, and does not validate DNSSEC" in said
    assert code == 1


def test_one_that_cannot(check):
    code, said = check({(".", "SOA"): "bogus"})
    assert "SERVFAIL from 127.0.0.1:PORT: dnssec bogus" in said
    assert code == 1


def test_the_systems_own_are_believed_on_this_machine_only(check, monkeypatch):
    class System:
        nameservers = ("192.0.2.1",)
        port = 53

    async def nobody(config, name, kind):
        from penstock.relay.dnssec import Answer

        return Answer(True, name, (), 1.0, secure=True)

    monkeypatch.setattr("dns.resolver.Resolver", System)
    monkeypatch.setattr("penstock.relay.dnssec.ask", nobody)
    code, said = check()
    assert "192.0.2.1: validates DNSSEC" in said
    assert "not believed: the system's resolvers are not on this machine" in said
    assert code == 1
