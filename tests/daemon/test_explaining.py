"""``penstock explain`` of a running daemon: by id, by recipient, by queue."""

from __future__ import annotations

import subprocess
import sys

TEXT = "X-Penstock-Tenant: shop\r\nSubject: hi\r\n\r\nhello\r\n"


def test_a_message_that_waits_for_the_rate_of_its_tenant(daemon) -> None:
    (daemon.policies / "tenants.toml").write_text('[tenant.shop]\nmessage_rate = "1/h"\n')
    daemon.write(head='delivery = "sandbox"')
    daemon.start()
    for number in range(3):
        daemon.send(f"p{number}@shop.test", text=TEXT)

    def waiting() -> list[dict]:
        try:
            found = daemon.call("explain", target="shop.test/shop")["explanations"]
        except Exception:
            return []
        return [one for one in found if one["reason"] == "message-rate"]

    daemon.until(waiting, "held by its rate")
    [one] = waiting()[:1]
    assert one["binds"]["where"].endswith("policies/tenants.toml:2")
    [binding] = [cap for cap in one["caps"] if cap["binds"]]
    assert (binding["used"], binding["free"]) == (1, 0)
    for target in (one["id"], one["recipient"]):
        out = explain(daemon, target)
        assert out.startswith("waits: message rate of tenant shop, 1/h, set in ")
        assert one["id"] in out
    assert "queued with it" in explain(daemon, "shop.test")
    assert "nothing of nobody.test is queued" in explain(daemon, "nobody.test")


def explain(daemon, target: str) -> str:
    command = [sys.executable, "-m", "penstock", "explain", target, "--config", str(daemon.config)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return ran.stdout + ran.stderr
