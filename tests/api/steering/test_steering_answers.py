"""Every route, asked as an operator does: its answer is what the OpenAPI document says."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel
from tests.api.steering.conftest import NEWS, SHOP, Steered, refused

from penstock.api.methods import METHODS, PREFIX
from penstock.api.routers import STEERING
from penstock.api.steering import operation_of

BOUNCE = b"""\
From: mailer-daemon@x.example\r
Content-Type: multipart/report; report-type=delivery-status; boundary=b\r
\r
--b\r
Content-Type: text/plain\r
\r
no\r
--b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; x.example\r
\r
Final-Recipient: rfc822; ann@x.example\r
Action: failed\r
Status: 5.1.1\r
Diagnostic-Code: smtp; 550 5.1.1 no such user\r
\r
--b--\r
"""
HELD = {"domain": "other.example"}
# method -> what follows its path, the body, what must be in the answer
GOOD: dict[str, tuple[str, Any, str]] = {
    "status": ("", None, '"ready":true'),
    "metrics": ("", None, "penstock_api_requests_total"),
    "top": ("", None, '"rows":['),
    "reload": ("", {}, '"changes":[]'),
    "keys.list": ("", None, '"name":"reader"'),
    "queue.list": ("?domain=shop-held.example&limit=1", None, '"total":1'),
    "queue.show": ("{shop}", None, "shop-held.example"),
    "explain": ("?target={shop}", None, '"reason":"suspended"'),
    "queue.operations": ("", None, "shop-held.example"),
    "operations.show": ("s1", None, '"who":"operator"'),
    "queue.suspend": ("", {"selector": HELD, "duration_s": 60, "reason": "x"}, '"id":"s'),
    "queue.bounce": ("", {"selector": HELD, "tell": True}, '"messages":0'),
    "queue.reroute": ("", {"selector": HELD, "pool": "other", "duration_s": 60}, '"id":"r'),
    "queue.retry": ("", {"selector": HELD}, '"messages":0'),
    "queue.expire": ("", {"selector": HELD, "expires_at": 4e9}, '"messages":0'),
    "queue.resume": ("", {"selector": HELD}, '"ids":["s'),
    "stats": ("?by=tenant&since_s=7200", None, '"by":"tenant"'),
    "guards": ("", None, '"trips":[]'),
    "bounces.unmatched": ("", None, '"rows":[]'),
    "classify.replies": (
        "",
        {"replies": [{"reply": "550 5.1.1 no such user", "provider": "gmail"}]},
        '"category":"bad-mailbox"',
    ),
    "classify.report": ("", BOUNCE, "ann@x.example"),
    "events.list": ("?type=accepted&tenant=shop", None, '"end":true'),
    "policies.show": ("?destination=gmail.com", None, "default.toml:2"),
    "policies.check": ("", None, '"ok":true'),
    "policies.replay": ("", b'{"provider": "gmail", "reply": "550 5.1.1 no"}\nx\n', '"replies":1'),
    "providers": ("", None, '"mx":["google.com"]'),
    "sources": ("", None, '"ipv4":"127.0.0.2"'),
    "pools": ("", None, "sources.toml:"),
    "dkim.records": ("", None, "v=DKIM1"),
    "warmup.show": ("", None, '"unused":['),
    "warmup.start": ("", {"provider": "gmail", "who": "ann"}, '"day":1'),
    "warmup.hold": ("", {"provider": "gmail", "reason": "bad"}, '"held":"bad"'),
    "warmup.resume": ("", {"provider": "gmail"}, '"held":""'),
    "warmup.set": ("", {"provider": "gmail", "day": 2}, '"day":2'),
    "warmup.complained": ("", {"provider": "gmail", "count": 3}, '"complaints":'),
    "tls.show": ("gmail.com", None, '"origin":"policy"'),
    "tls.report": ("?day=2026-11-27&limit=5", None, '"total":0'),
    "tls.send": ("", {"day": "2026-11-27"}, '"sent":[]'),
    "webhooks.list": ("", None, "of-shop"),
    "webhooks.test": ("", {"who": "ann"}, '"result":"delivered"'),
    "webhooks.enable": ("", {}, '"was_disabled":false'),
    "webhooks.replay": ("", {"since_s": 1e9}, '"since":"2001'),
    "suppression.list": ("?tenant=-", None, "eve@everyone.example"),
    "suppression.lookup": ("bob@shop.example", None, '"reason":"manual"'),
    "suppression.add": ("", {"addresses": ["A+b/c@x.example"], "ttl_s": 60}, '"new":1'),
    "suppression.remove": ("A+b%2Fc@x.example", None, '"removed":1'),
    "suppression.statistics": ("", None, '"map_bytes":'),
    "suppression.export": ("?tenant=shop", None, "bob@shop.example"),
    "suppression.import": ("?name=list.csv", b"email\nzoe@x.example\nno\n", '"rows":2,"bad":1'),
}
KINDS = {
    "classify.report": "message/rfc822",
    "policies.replay": "text/plain",
    "suppression.import": "text/csv",
}
LATER = {
    "keys.create",
    "keys.revoke",
    "upgrade",
    "queue.cancel",
    "events.stream",
}  # tests of their own


def _models() -> dict[str, type[BaseModel]]:
    return {
        str(route.operation_id): route.responses[200]["model"]
        for router in STEERING
        for route in router.routes
        if isinstance(route, APIRoute) and "model" in route.responses.get(200, {})
    }


def ask(client: httpx.Client, name: str, steered: Steered) -> httpx.Response:
    method = METHODS[name]
    more, body, _ = GOOD[name]
    path = method.path.replace("{source}", "cold").replace("{name}", "of-shop")
    path = path.partition("{")[0] + more.format(**steered.messages)
    if isinstance(body, bytes):
        headers = {"Content-Type": KINDS[name]}
        return client.request(method.verb, PREFIX + path, content=body, headers=headers)
    sent = None if body is None else {**method.fixed, **body}
    return client.request(method.verb, PREFIX + path, json=sent)


def test_every_method_is_tried() -> None:
    assert set(GOOD) | LATER == set(METHODS)


@pytest.mark.parametrize("way", ["socket", "key"])
@pytest.mark.parametrize("name", list(GOOD))
def test_what_an_operator_asks(
    name: str,
    way: str,
    steered: Steered,
    local: httpx.Client,
    of: Callable[[str], httpx.Client],
) -> None:
    if name == "queue.resume":
        ask(local, "queue.suspend", steered)
    if name == "suppression.remove":
        ask(local, "suppression.add", steered)
    if name == "suppression.add":
        local.delete(f"{PREFIX}/suppression/addresses/A+b%2Fc@x.example")
    answer = ask(local if way == "socket" else of("admin"), name, steered)
    assert answer.status_code == 200, answer.text
    assert GOOD[name][2] in answer.text
    model = _models().get(operation_of(name))
    if model is not None:
        model.model_validate_json(answer.content)


def test_the_socket_is_for_its_owner_alone(steered: Steered) -> None:
    mode = (steered.home / "spool" / "api.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


REFUSED = [
    ("GET", "/queue?domian=x", None, 422, "query domian: there is no such field here"),
    ("GET", "/queue?provider=gmial", None, 422, "no provider 'gmial'; did you mean \"gmail\"?"),
    ("GET", "/queue?limit=0", None, 422, "query limit: must be at least 1"),
    ("GET", "/queue/0abc", None, 404, "no message 0abc in the queue: it was delivered, bounced"),
    ("GET", "/queue/no-id", None, 422, "no-id"),
    ("GET", "/explain", None, 422, "query target: is required"),
    ("POST", "/operations", {"verb": "suspend"}, 422, "say which mail: one of tenant, campaign"),
    ("POST", "/operations", {"verb": "stop"}, 422, 'verb: expected "suspend" or "bounce"'),
    (
        "POST",
        "/operations",
        {"verb": "reroute", "selector": {"tenant": "x"}, "pool": "nope"},
        422,
        "no pool 'nope'",
    ),
    (
        "POST",
        "/operations",
        {"verb": "expire", "selector": {"tenant": "x"}},
        422,
        "expires_at: say when the mail expires",
    ),
    ("DELETE", "/operations/s999", None, 404, "no operation 's999': it has ended, or never was"),
    ("GET", "/statistics?by=day", None, 422, "query by: expected"),
    ("GET", "/events?type=delivred", None, 422, "there is no 'delivred'"),
    ("GET", "/events?since=5", None, 422, "query since: expected a date and time like"),
    ("POST", "/classify/report", None, 422, "The body is empty"),
    ("POST", "/policies/replay", None, 422, "The body is empty"),
    ("POST", "/warmup/cold/set", {"day": True}, 422, "day: expected an integer, not true"),
    ("GET", "/events?cursor=x", None, 422, "no cursor of ours; give one as it was answered"),
    ("GET", "/policies?destination=a..b", None, 422, "query destination: "),
    ("GET", "/policies?destination=x.example&class=bulky", None, 422, "no class 'bulky'"),
    ("POST", "/warmup/nope/hold", {}, 422, "no source 'nope'"),
    ("POST", "/warmup/cold/set", {}, 422, "say which day of the plan"),
    ("POST", "/webhooks/nope/enable", {}, 404, "no webhook is named 'nope'; there are: of-"),
    ("POST", "/suppression", {"addresses": ["no address"]}, 422, "no address"),
    ("POST", "/suppression", {"addresses": []}, 422, "addresses: must not be empty"),
    ("POST", "/suppression/import", {}, 415, '"text/csv" or "application/x-ndjson"'),
    ("POST", "/classify/replies", {"replies": [{"reply": "x", "phase": "y"}]}, 422, "phase"),
]


@pytest.mark.parametrize(("verb", "path", "body", "status", "text"), REFUSED)
def test_what_is_wrong_is_said(
    verb: str, path: str, body: Any, status: int, text: str, local: httpx.Client
) -> None:
    answer = local.request(verb, PREFIX + path, json=body)
    detail = refused(answer, status)
    fields = [f"{one['field']}: {one['message']}" for one in answer.json().get("errors", ())]
    assert any(text in one for one in (detail, *fields)), (detail, fields)


def test_an_upgrade_is_begun_on_the_machine_alone(of: Callable[[str], httpx.Client]) -> None:
    assert refused(of("admin").post(f"{PREFIX}/upgrade", json={}), 403) == (
        "An upgrade is begun on the machine itself, over the Unix socket: penstock upgrade."
    )


def test_who_ordered_it_is_written_down(
    steered: Steered, local: httpx.Client, of: Callable[[str], httpx.Client]
) -> None:
    body = {"verb": "suspend", "selector": {"domain": "who.example"}, "who": "ann"}
    begun = of("admin").post(f"{PREFIX}/operations", json=body).json()["id"]
    number = steered.keys["admin"].split("_")[1]
    shown = local.get(f"{PREFIX}/operations/{begun}").json()
    assert shown["who"] == f"ann (key {number})"
    ended = of("admin").delete(f"{PREFIX}/operations/{begun}?who=bob&reason=over")
    assert ended.json()["ids"] == [begun]
    events = local.get(f"{PREFIX}/events?type=admin&limit=10000").json()["events"]
    mine = [one for one in events if one.get("operation") == begun]
    assert [one["who"] for one in mine] == [f"ann (key {number})", f"bob (key {number})"]


def test_a_policy_that_is_wrong_is_found_before_it_is_taken_up(
    steered: Steered, local: httpx.Client
) -> None:
    path = steered.policies / "default.toml"
    good = path.read_text()
    try:
        path.write_text("[limits]\nconnections = -1\n")
        found = local.get(f"{PREFIX}/policies/check").json()
        assert not found["ok"]
        assert "default.toml:2: limits.connections" in found["problems"][0]
        detail = refused(local.post(f"{PREFIX}/policies/reload"), 422)
        assert "default.toml:2: limits.connections" in detail
        path.write_text("[limits]\nconnections = 9\n")
        assert local.get(f"{PREFIX}/policies/check").json()["ok"]
        assert "7" in local.get(f"{PREFIX}/policies?destination=x.example").text
        changes = local.post(f"{PREFIX}/policies/reload").json()["changes"]
        assert any("connections" in one and "9" in one for one in changes)
    finally:
        path.write_text(good)
        assert local.post(f"{PREFIX}/policies/reload").status_code == 200


def test_events_come_in_pages(local: httpx.Client) -> None:
    whole = local.get(f"{PREFIX}/events?limit=10000").json()
    assert whole["end"]
    times = [one["at"] for one in whole["events"]]
    assert times == sorted(times)
    paged: list[Any] = []
    cursor, pages = "", 0
    while pages < 500:
        page = local.get(f"{PREFIX}/events", params={"limit": 3, "cursor": cursor}).json()
        paged += page["events"]
        cursor, pages = page["next"], pages + 1
        if page["end"]:
            break
    assert [one["id"] for one in paged][: len(times)] == [one["id"] for one in whole["events"]]
    middle = whole["events"][len(times) // 2]["at"]
    later = local.get(f"{PREFIX}/events", params={"since": middle, "limit": 10000}).json()
    assert {one["id"] for one in later["events"]} >= {
        one["id"] for one in whole["events"] if one["at"] >= middle
    }
    assert all(one["at"] >= middle for one in later["events"])
    before = local.get(f"{PREFIX}/events", params={"until": middle, "limit": 10000}).json()
    assert before["end"]
    assert [one["id"] for one in before["events"]] == [
        one["id"] for one in whole["events"] if one["at"] < middle
    ]


def test_a_list_goes_out_and_in_again(local: httpx.Client) -> None:
    addresses = [f"u{number}@many.example" for number in range(1000)]
    body = {"addresses": addresses, "tenant": "many", "reason": "complaint", "scope": "bulk"}
    assert local.post(f"{PREFIX}/suppression", json=body).json()["new"] == 1000
    for kind, form in (("text/csv", "csv"), ("application/x-ndjson", "ndjson")):
        out = local.get(f"{PREFIX}/suppression/export?tenant=many&format={form}")
        assert out.headers["content-type"].partition(";")[0] == kind
        assert out.text.count("\n") == 1000 + (form == "csv")
        again = local.post(
            f"{PREFIX}/suppression/import", content=out.content, headers={"Content-Type": kind}
        ).json()
        assert (again["rows"], again["bad"], again["new"]) == (1000, 0, 0)
    listed: list[str] = []
    cursor = ""
    while True:
        params = {"tenant": "many", "limit": 300, "cursor": cursor}
        page = local.get(f"{PREFIX}/suppression", params=params).json()
        listed += [one["address"] for one in page["entries"]]
        cursor = page["next"]
        if not cursor:
            break
    assert listed == sorted(addresses)


def test_a_bad_row_says_its_line(local: httpx.Client) -> None:
    answer = local.post(
        f"{PREFIX}/suppression/import?tenant=many&who=ann",
        content=b'{"address": "x@many.example"}\n{"address": "nobody"}\n',
        headers={"Content-Type": "application/x-ndjson"},
    ).json()
    assert [one["line"] for one in answer["problems"]] == [2]
    assert [answer["rows"], answer["bad"], answer["new"]] == [2, 1, 1]


def test_mail_is_steered(steered: Steered, local: httpx.Client) -> None:
    """Held, shown, explained, let go: as an operator would, over HTTP alone."""
    domain = "steered.example"
    order = {"verb": "suspend", "selector": {"domain": domain}, "reason": "look first"}
    begun = local.post(f"{PREFIX}/operations", json=order).json()
    steered.send(f"ann@{domain}")
    (row,) = local.get(f"{PREFIX}/queue?domain={domain}").json()["rows"]
    (why,) = local.get(f"{PREFIX}/explain?target=ann@{domain}").json()["explanations"]
    assert (why["id"], why["reason"]) == (row["id"], "suspended")
    assert local.delete(f"{PREFIX}/operations/{begun['id']}").json()["ids"] == [begun["id"]]
    steered.until(
        lambda: local.get(f"{PREFIX}/queue?domain={domain}").json()["total"] == 0, "delivered"
    )
    query = {"recipient": f"ann@{domain}", "type": "delivered"}
    steered.until(
        lambda: bool(local.get(f"{PREFIX}/events", params=query).json()["events"]), "an event"
    )
    assert {SHOP, NEWS} <= {one["tenant"] for one in local.get(f"{PREFIX}/queue").json()["rows"]}
