"""What the settings of DANE and of reports on TLS want that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock.settings.check import Machine, check

REPORT = """
[tls_report]
organization = "Example"
contact = "postmaster@example.com"
sender = "tls@reports.example.com"
"""


def found(tmp_path: Path, text: str, resolvers: Sequence[str] = ("127.0.0.53",)) -> list[str]:
    (tmp_path / "policies").mkdir(exist_ok=True)
    path = tmp_path / "config.toml"
    path.write_text(f'spool = "{tmp_path}/spool"\n{text}')
    machine = Machine(lambda addresses: (), (), resolvers)
    return [str(one) for one in check(str(path), machine=machine)]


def test_reports_want_a_signature_and_the_event_log(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, REPORT)
    assert "config.toml:6" in problem
    assert '"reports.example.com" would not be signed' in problem
    problems = found(tmp_path, REPORT + "[events]\nenabled = false\n")
    assert any("by way of the event log, which is off" in one for one in problems)


@pytest.mark.parametrize(
    ("resolvers", "warned"),
    [(["127.0.0.53"], False), (["::1", "192.0.2.53"], True), (["fe80::1%eth0"], True), ([], True)],
)
def test_dane_wants_a_resolver_that_is_believed(
    tmp_path: Path, resolvers: list[str], warned: bool
) -> None:
    problems = found(tmp_path, "[tls]\ndane = true\n", resolvers)
    assert [("config.toml:3" in one, "dane_nameservers" in one) for one in problems] == (
        [(True, True)] if warned else []
    )
    assert (
        found(tmp_path, '[tls]\ndane = true\ndane_nameservers = ["192.0.2.1"]\n', ["192.0.2.2"])
        == []
    )
    assert found(tmp_path, "", resolvers) == []


def test_what_a_report_comes_from_is_an_address(tmp_path: Path) -> None:
    problems = found(tmp_path, REPORT.replace("tls@reports", "nobody at "))
    assert any("expected an address" in one for one in problems)
