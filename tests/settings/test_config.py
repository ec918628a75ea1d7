"""What a config file says is what the daemon gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pydantic
import pytest

from penstock.policy.rate import Rate
from penstock.settings.loader import load, load_settings, parse_settings
from penstock.settings.models import Settings
from penstock.worker.parts import listener_config

SettingsOf = Callable[[str], Settings]


def test_the_shipped_file_is_valid_and_harmless(root: Path) -> None:
    settings = load_settings(str(root / "config.toml"))
    assert isinstance(settings, Settings)
    assert settings.delivery == "sandbox"
    assert [smtp.listen for smtp in settings.smtp] == ["127.0.0.1:2525"]
    assert settings.smtp[0].relay_from == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.http is not None
    assert settings.http.listen == "127.0.0.1:8025"
    assert settings.spool == str(root / "var/spool")
    assert settings.policies == str(root / "policies")
    assert settings.control == str(root / "var/spool/control.sock")
    assert settings.api_socket == str(root / "var/spool/api.sock")


def test_the_examples_in_its_comments_are_valid_too(root: Path, password_hash: str) -> None:
    text = (root / "config.toml").read_text("utf-8")
    text = text.replace("$argon2id$v=19$m=65536,t=3,p=4$...", password_hash)
    example = re.compile(r"^# (?=\[|[a-z_]+ +=|[a-z_]+ = | +\{ user|\])", re.MULTILINE)
    checked = parse_settings(example.sub("", text), "config.toml")
    assert [str(problem) for problem in checked.problems] == []
    assert checked.value is not None
    listens = ["127.0.0.1:2525", "0.0.0.0:587", "0.0.0.0:25"]
    assert [smtp.listen for smtp in checked.value.smtp] == listens
    assert checked.value.smtp[1].auth[0].tenant == "shop"
    assert checked.value.smtp[2].role == "feedback"
    assert checked.value.route[0].message_rate == Rate.parse("600/min")
    assert checked.value.dkim[0].selector == "s1"
    assert checked.value.control == "/run/penstock/control.sock"
    assert checked.value.api_socket == "/run/penstock/api.sock"
    # An example that shows a default shows the right one.
    defaults = Settings()
    assert checked.value.queue == defaults.queue
    assert checked.value.log == defaults.log
    assert checked.value.relay == defaults.relay
    feedback = checked.value.feedback
    assert feedback.complaint_addresses == defaults.feedback.complaint_addresses
    assert feedback.unsubscribe_days == defaults.feedback.unsubscribe_days


def test_an_empty_file_is_valid(settings_of: SettingsOf) -> None:
    settings = settings_of("")
    assert settings.hostname == "localhost"
    assert settings.spool == "/etc/penstock/var/spool"
    assert settings.workers == "auto"
    assert settings.smtp == ()
    assert settings.http is None


def test_a_small_file(settings_of: SettingsOf) -> None:
    settings = settings_of(
        """\
hostname = "mail.example.com"
spool = "/var/lib/penstock"
policies = "../policies"
workers = 2
delivery = "live"
[[smtp]]
listen = "[::1]:2525"
relay_from = ["::1", "192.0.2.0/24"]
[http]
listen = "localhost:8025"
[[route]]
domains = ["*.Example.NET.", "*"]
next_hop = "127.0.0.2:2626"
message_rate = "600/min burst 10"
[[dkim]]
domain = "example.com"
selector = "s1"
key = "keys/s1.pem"
"""
    )
    assert settings.policies == "/etc/policies"
    assert settings.control == "/var/lib/penstock/control.sock"
    assert settings.api_socket == "/var/lib/penstock/api.sock"
    assert settings.worker_count(8) == 2
    smtp, route, dkim = settings.smtp[0], settings.route[0], settings.dkim[0]
    assert smtp.listen == "[::1]:2525"
    assert smtp.relay_from == (ip_network("::1/128"), ip_network("192.0.2.0/24"))
    assert smtp.bare_newlines == "refuse"
    assert route.domains == ("*.example.net", "*")
    assert route.next_hop == "127.0.0.2:2626"
    assert (route.connections, route.message_rate) == (50, Rate(600, 60.0, 10))
    assert dkim.key == "/etc/penstock/keys/s1.pem"


def test_sizes_and_durations_in_either_form(settings_of: SettingsOf) -> None:
    settings = settings_of(
        'stop_deadline_s = "1m30s"\n[queue]\nsegment_bytes = "64 MiB"\ncache_bytes = 1048576\n'
        "settle_delay_s = 0.05\n[dns]\ntimeout_s = 3\n"
    )
    assert settings.stop_deadline_s == 90.0
    assert settings.queue.segment_bytes == 64 << 20
    assert settings.queue.cache_bytes == 1 << 20
    assert settings.queue.settle_delay_s == 0.05
    assert settings.dns.timeout_s == 3.0


def test_a_host_without_a_name_is_called_by_its_address(settings_of: SettingsOf) -> None:
    assert settings_of('hostname = "[192.0.2.1]"').hostname == "[192.0.2.1]"
    assert settings_of('hostname = "[IPv6:2001:db8::1]"').hostname == "[IPv6:2001:db8::1]"


def test_settings_do_not_change(settings_of: SettingsOf) -> None:
    settings = settings_of("")
    with pytest.raises(pydantic.ValidationError):
        settings.hostname = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "cores", "workers"),
    [('"auto"', 6, 6), ("3", 6, 3), ('"auto"', 200, 64), ('"auto"', 0, 1)],
)
def test_workers(settings_of: SettingsOf, written: str, cores: int, workers: int) -> None:
    assert settings_of(f"workers = {written}").worker_count(cores) == workers


def test_reading_is_an_argument_and_a_file_that_cannot_be_read_is_a_problem() -> None:
    assert load is load_settings
    settings = load("/etc/config.toml", read=lambda path: b'hostname = "mail.example.com"')
    assert isinstance(settings, Settings)
    assert settings.hostname == "mail.example.com"
    assert settings.spool == "/etc/var/spool"
    missing = load("/nowhere/config.toml")
    assert isinstance(missing, list)
    assert str(missing[0]) == "/nowhere/config.toml: cannot be read: No such file or directory"
    binary = load("c.toml", read=lambda path: b"\xff\xfe")
    assert isinstance(binary, list)
    assert str(binary[0]) == "c.toml:1: not UTF-8 text; save the file as UTF-8"


def test_the_wait_for_a_command_is_the_same_within_a_transaction_and_outside(
    settings_of: Callable[[str], Settings],
) -> None:
    settings = settings_of(
        'hostname = "mx.example"\n[[smtp]]\nlisten = "127.0.0.1:2525"\ncommand_timeout_s = "7s"\n'
    )
    made = listener_config(settings, settings.smtp[0])
    assert (made.command_timeout_s, made.idle_timeout_s) == (7.0, 7.0)
