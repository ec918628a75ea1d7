"""Mail from Postfix's load generator, through the daemon, to Postfix's sink."""

import subprocess

from bench.harness import program, wait_until

COUNT = 5000


def test_all_of_5000_messages_from_20_sessions_arrive(need, daemon, smtp_sink):
    need("smtp-source", "smtp-sink")
    next_hop, delivered = smtp_sink()
    relay = daemon(next_hop)
    command = [program("smtp-source"), "-s", "20", "-l", "10240", "-m", str(COUNT)]
    command += ["-f", "bounce@src.example", "-t", "user@rcpt.example", f"127.0.0.1:{relay.port}"]
    subprocess.run(command, check=True, timeout=120)
    wait_until(lambda: delivered() >= COUNT, 120, f"{COUNT} messages arrive")
    relay.drain(30)
    assert delivered() == COUNT
    assert relay.metric("penstock_messages_accepted_total") == COUNT
    assert relay.metric("penstock_delivered_total") == COUNT
    assert relay.metric("penstock_bounced_total") == 0
