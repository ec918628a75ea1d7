"""An everyday client: swaks with STARTTLS, AUTH and DSN options."""

import re
import subprocess

import argon2
import pytest
from bench import keys
from bench.harness import program

USER, PASSWORD = "app", "correct horse"
SENDER, RECIPIENT = "bounce@src.example", "user@rcpt.example"
NOBODY_RELAYS = ("192.0.2.0/24",)


def swaks(port, *options):
    """The exit code and the dialogue."""
    command = [program("swaks"), "--server", f"127.0.0.1:{port}", "--ehlo", "client.example"]
    command += ["--suppress-data", "--timeout", "20", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def submission(need, daemon, directory, sink):
    """A daemon with STARTTLS and one account that nobody may relay through without it."""
    need("swaks")
    certificate, key = directory / "tls.crt", directory / "tls.key"
    keys.make_certificate(certificate, key, "mta.example")
    password_hash = argon2.PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    return daemon(
        f"{sink.host}:{sink.port}",
        workers=1,
        relay_from=NOBODY_RELAYS,
        smtp=(
            f'tls = "starttls"\ncertificate = "{certificate}"\nkey = "{key}"\n'
            f'auth = [{{ user = "{USER}", password_hash = "{password_hash}", tenant = "t1" }}]'
        ),
    )


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_starttls_and_auth_deliver(submission, sink, mechanism):
    code, dialogue = swaks(
        submission.port,
        *("--tls", "--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD),
        *("--from", SENDER, "--to", RECIPIENT, "--header", f"Message-Id: <{mechanism}@x.example>"),
    )
    assert code == 0, dialogue
    assert "235 2.7.0" in dialogue
    assert re.search(r"250 2\.6\.0 .*queued as [0-9a-z]+", dialogue)
    submission.drain(20)
    assert sink.delivered() == [f"{mechanism}@x.example"]


def test_a_wrong_password_is_refused(submission, sink):
    code, dialogue = swaks(
        submission.port,
        *("--tls", "--auth", "PLAIN", "--auth-user", USER, "--auth-password", "wrong"),
        *("--from", SENDER, "--to", RECIPIENT),
    )
    assert code == 28, dialogue  # swaks: authentication failed
    assert "535 5.7.8" in dialogue
    assert sink.read().messages == 0


def test_nobody_relays_without_authentication(submission, sink):
    code, dialogue = swaks(submission.port, "--tls", "--from", SENDER, "--to", RECIPIENT)
    assert code == 24, dialogue  # swaks: no recipient was accepted
    assert "550 5.7.1" in dialogue
    assert sink.read().messages == 0


def test_dsn_options_are_offered_taken_and_passed_on(need, daemon, receiver):
    need("swaks")
    hop = receiver()
    relay = daemon(hop.address, workers=1)
    # swaks has no options for them, but what stands in for an address may close its bracket; the
    # bracket that swaks adds is then the last character of the last parameter, and legal in it
    code, dialogue = swaks(
        relay.port,
        *("--from", f"{SENDER}> RET=HDRS ENVID=case-7"),
        *("--to", "refused@rcpt.example> NOTIFY=FAILURE ORCPT=rfc822;first@rcpt.example"),
    )
    assert code == 0, dialogue
    assert "250-DSN" in dialogue or "250 DSN" in dialogue
    relay.drain(20)
    (report,) = hop.messages()
    assert b"Original-Envelope-Id: case-7>" in report
    assert b"Original-Recipient: rfc822; first@rcpt.example>" in report
    assert b"text/rfc822-headers" in report  # RET=HDRS


def test_notify_never_means_no_report(need, daemon, receiver):
    need("swaks")
    hop = receiver()
    relay = daemon(hop.address, workers=1)
    code, dialogue = swaks(
        relay.port,
        *("--from", SENDER),
        *("--to", "refused@rcpt.example> NOTIFY=NEVER ORCPT=rfc822;first@rcpt.example"),
    )
    assert code == 0, dialogue
    relay.drain(20)
    assert relay.metric("penstock_bounced_total") == 1
    assert hop.messages() == []


def test_unknown_dsn_values_are_refused(need, daemon, sink):
    need("swaks")
    relay = daemon(f"{sink.host}:{sink.port}", workers=1)
    code, dialogue = swaks(relay.port, "--from", f"{SENDER}> RET=SOME", "--to", RECIPIENT)
    assert code == 23, dialogue  # swaks: the sender was refused
    assert re.search(r"^<\*\* +5\d\d 5\.5\.4", dialogue, re.MULTILINE), dialogue
