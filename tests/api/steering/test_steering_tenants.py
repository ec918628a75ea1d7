"""A key with a tenant sees and does that tenant's things: every route, one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi.routing import APIRoute
from tests.api.steering.conftest import NEWS, SHOP, Steered, refused

from penstock.api.methods import ANY, METHODS, OWN, PREFIX, WHOLE
from penstock.api.routers import ROUTERS, STEERING

# Routes of other rooms, which have tests of their own.
OTHERS = ("/status", "/messages", "/inject")
# A word that stands in everything of the other tenant's and in nothing of ours.
FOREIGN = NEWS


class Case(NamedTuple):
    """``path``: as it is asked for, ``{name}`` from ``Steered.messages`` and such; ``body``: JSON,
    or bytes; ``seen``: what must be in the answer of a tenant's own key."""

    verb: str
    path: str
    seen: str = ""
    status: int = 200
    body: Any = None
    kind: str = ""


OWN_CASES: dict[str, list[Case]] = {
    "keys.list": [Case("GET", "/keys", '"tenant":"shop"')],
    "keys.create": [
        Case("POST", "/keys", "psk_", 201, {"scopes": ["read"]}),
        Case("POST", "/keys", "alone", 403, {"scopes": ["read"], "tenant": NEWS}),
    ],
    "keys.revoke": [Case("DELETE", "/keys/{foreign_key}", "key", 404)],
    "queue.list": [Case("GET", "/queue", "shop-held.example")],
    "queue.show": [
        Case("GET", "/queue/{own}", "shop-held.example"),
        Case("GET", "/queue/{foreign}", "never accepted here", 404),
    ],
    "explain": [
        Case("GET", "/explain?target={own}", "shop-held.example"),
        Case("GET", "/explain?target={foreign}", "never accepted here", 404),
        Case("GET", "/explain?target=ann@news-held.example", "never accepted here", 404),
        Case("GET", "/explain?target=news-held.example", "never accepted here", 404),
        Case("GET", "/explain?target=news-held.example/news", "never accepted here", 404),
    ],
    "queue.operations": [Case("GET", "/operations", "operations")],
    "operations.show": [Case("GET", "/operations/s1", "no operation 's1'", 404)],
    "queue.suspend": [
        Case("POST", "/operations", "messages", body={"verb": "retry", "selector": {}}),
        Case(
            "POST",
            "/operations",
            'for the tenant "shop" alone',
            403,
            {"verb": "suspend", "selector": {"tenant": NEWS}},
        ),
        Case(
            "POST",
            "/operations",
            "a key with a tenant does not reroute",
            403,
            {"verb": "reroute", "pool": "other", "selector": {"tenant": SHOP}},
        ),
    ],
    "queue.resume": [
        Case("POST", "/operations/resume", "nothing is suspended", 404, {"selector": {}}),
        Case("POST", "/operations/resume", "alone", 403, {"selector": {"tenant": NEWS}}),
    ],
    "queue.cancel": [Case("DELETE", "/operations/s1", "no operation 's1'", 404)],
    "stats": [
        Case("GET", "/statistics?by=tenant", "rows"),
        Case("GET", "/statistics?tenant=news", 'for the tenant "shop" alone', 403),
    ],
    "guards": [Case("GET", "/guards", "trips")],
    "events.list": [
        Case("GET", "/events?limit=10000", "shop-held.example"),
        Case("GET", "/events?tenant=news", 'for the tenant "shop" alone', 403),
        Case("GET", "/events?message={foreign}", '"events":[]'),
    ],
    "events.stream": [Case("GET", "/events/stream?tenant=news", "alone", 403)],
    "webhooks.list": [Case("GET", "/webhooks", "of-shop")],
    "webhooks.test": [
        Case("POST", "/webhooks/of-shop/test", "delivered", body={}),
        Case("POST", "/webhooks/of-{word}/test", "there are: of-shop", 404, {}),
    ],
    "webhooks.enable": [
        Case("POST", "/webhooks/of-shop/enable", "of-shop", body={}),
        Case("POST", "/webhooks/of-{word}/enable", "there are: of-shop", 404, {}),
    ],
    "webhooks.replay": [
        Case("POST", "/webhooks/of-shop/replay", "of-shop", body={"since_s": 1e9}),
        Case("POST", "/webhooks/of-{word}/replay", "there are: of-shop", 404, {"since_s": 1e9}),
    ],
    "suppression.list": [
        Case("GET", "/suppression", "bob@shop.example"),
        Case("GET", "/suppression?tenant=news", "alone", 403),
    ],
    "suppression.lookup": [
        Case("GET", "/suppression/addresses/bob@shop.example", "manual"),
        Case("GET", "/suppression/addresses/eve@everyone.example", '"entries":[]'),
        Case("GET", "/suppression/addresses/bob@{word}.example", '"entries":[]'),
    ],
    "suppression.add": [
        Case("POST", "/suppression", '"new":1', body={"addresses": ["new@shop.example"]}),
        Case("POST", "/suppression", "alone", 403, {"addresses": ["a@b.example"], "tenant": NEWS}),
    ],
    "suppression.remove": [
        Case("DELETE", "/suppression/addresses/new@shop.example", '"removed":1'),
        Case("DELETE", "/suppression/addresses/bob@{word}.example", "no such entry", 404),
        Case("DELETE", "/suppression/addresses/eve@everyone.example", "no such entry", 404),
    ],
    "suppression.statistics": [Case("GET", "/suppression/statistics", "shop")],
    "suppression.export": [Case("GET", "/suppression/export?format=csv", "bob@shop.example,shop")],
    "suppression.import": [
        Case(
            "POST",
            "/suppression/import",
            "changes the list of no other",
            200,
            b"address,tenant\na@x.example,shop\nb@x.example,news\n",
            "text/csv",
        )
    ],
}
ANY_CASES = {
    "classify.replies": Case(
        "POST", "/classify/replies", "category", body={"replies": [{"reply": "550 5.1.1 no"}]}
    ),
    "classify.report": Case(
        "POST",
        "/classify/report",
        "kind",
        body=b"Subject: hi\r\n\r\nhello\r\n",
        kind="message/rfc822",
    ),
}
WHOLE_BODIES: dict[str, Any] = {"warmup.set": {"day": 1}}
FILLED = {"{source}": "cold", "{id}": "s1", "{name}": "of-shop", "{address}": "a@b.example"}
FILLED["{domain}"] = "gmail.com"


def test_every_method_has_its_cases() -> None:
    """A new route without one fails here."""
    same_address = {name for name in METHODS if METHODS[name].fixed} - {"queue.suspend"}
    of = {kind: {n for n, m in METHODS.items() if m.tenants == kind} for kind in (OWN, ANY, WHOLE)}
    assert of[OWN] - same_address == set(OWN_CASES)
    assert of[ANY] == set(ANY_CASES)
    assert of[OWN] | of[ANY] | of[WHOLE] == set(METHODS)


@pytest.mark.parametrize("routers", [ROUTERS, STEERING], ids=["worker", "supervisor"])
def test_every_route_is_in_the_table(routers: Any) -> None:
    known = {(one.verb, PREFIX + one.path) for one in METHODS.values()}
    routes = {
        (verb, route.path.replace(":path}", "}"))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for verb in route.methods
    }
    ours = {
        (verb, path)
        for verb, path in routes
        if path.startswith(PREFIX) and not path.startswith(tuple(PREFIX + one for one in OTHERS))
    }
    assert ours == known


def _asked(client: httpx.Client, case: Case, steered: Steered) -> httpx.Response:
    words = {"own": steered.messages[SHOP], "foreign": steered.messages[NEWS], "word": NEWS}
    words["foreign_key"] = steered.keys["news"].split("_")[1]
    path = f"{PREFIX}{case.path.format(**words)}"
    if isinstance(case.body, bytes):
        headers = {"Content-Type": case.kind}
        return client.request(case.verb, path, content=case.body, headers=headers)
    return client.request(case.verb, path, json=case.body)


def _own_cases() -> Iterator[Any]:
    for name, cases in OWN_CASES.items():
        for number, case in enumerate(cases):
            yield pytest.param(case, id=f"{name}-{number}")


@pytest.mark.parametrize("case", list(_own_cases()))
def test_a_tenant_s_key(case: Case, steered: Steered, of: Callable[[str], httpx.Client]) -> None:
    answer = _asked(of("shop"), case, steered)
    assert answer.status_code == case.status, answer.text
    assert case.seen in answer.text.replace('\\"', '"')
    if answer.status_code == 200:  # a refusal repeats what was asked
        told = answer.text.replace(str(answer.request.url.path).rpartition("/")[2], "")
        assert FOREIGN not in told
        assert steered.messages[NEWS] not in told
        assert "eve@" not in told


@pytest.mark.parametrize("name", list(ANY_CASES))
def test_what_any_key_may(name: str, steered: Steered, of: Callable[[str], httpx.Client]) -> None:
    answer = _asked(of("shop"), ANY_CASES[name], steered)
    assert answer.status_code == 200, answer.text
    assert ANY_CASES[name].seen in answer.text


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.tenants == WHOLE])
def test_what_needs_a_key_without_a_tenant(name: str, of: Callable[[str], httpx.Client]) -> None:
    method = METHODS[name]
    path = method.path
    for parameter, value in FILLED.items():
        path = path.replace(parameter, value)
    body = None if method.verb == "GET" else WHOLE_BODIES.get(name, {})
    if name == "policies.show":
        path += "?destination=gmail.com"
    answer = of("shop").request(method.verb, PREFIX + path, json=body)
    assert refused(answer, 403) == (
        "This is about the daemon as a whole, and the key is for the tenant "
        '"shop" alone; use a key without a tenant.'
    )


@pytest.mark.parametrize("name", list(METHODS))
def test_each_needs_its_scope(name: str, of: Callable[[str], httpx.Client]) -> None:
    """Before anything else of the request is looked at."""
    method = METHODS[name]
    path = method.path
    for parameter, value in FILLED.items():
        path = path.replace(parameter, value)
    wrong = "sender" if method.scope == "read" else "reader"
    has = "send" if method.scope == "read" else "read"
    answer = of(wrong).request(method.verb, PREFIX + path)
    assert refused(answer, 403) == f'This needs the scope "{method.scope}"; the key has: {has}.'


def test_a_tenant_ends_what_it_began_and_not_what_an_operator_did(
    steered: Steered, of: Callable[[str], httpx.Client], local: httpx.Client
) -> None:
    held = {"verb": "suspend", "selector": {"tenant": SHOP, "campaign": "x"}, "who": "operator"}
    by_operator = local.post(f"{PREFIX}/operations", json=held).json()["id"]
    shop = of("shop")
    own = shop.post(
        f"{PREFIX}/operations",
        json={"verb": "suspend", "selector": {"campaign": "y"}, "who": "ann"},
    ).json()["id"]
    rows = {one["id"]: one for one in shop.get(f"{PREFIX}/operations").json()["operations"]}
    assert set(rows) == {by_operator, own}
    assert rows[own]["selector"] == {"tenant": SHOP, "campaign": "y"}
    number = steered.keys["shop"].split("_")[1]
    assert rows[own]["who"] == f"ann (key {number} of tenant shop)"

    text = f"Operation {by_operator} was begun by the operator, who alone ends it."
    assert refused(shop.delete(f"{PREFIX}/operations/{by_operator}"), 403) == text
    ended = {"selector": {"campaign": "x"}}
    assert refused(shop.post(f"{PREFIX}/operations/resume", json=ended), 403) == text
    assert of("news").get(f"{PREFIX}/operations").json()["operations"] == []
    assert refused(of("news").delete(f"{PREFIX}/operations/{own}"), 404) == (
        f"no operation {own!r}: it has ended, or never was"
    )
    ended = {"selector": {"campaign": "y"}}
    assert shop.post(f"{PREFIX}/operations/resume", json=ended).json()["ids"] == [own]
    assert local.delete(f"{PREFIX}/operations/{by_operator}").json()["ids"] == [by_operator]


def test_nobody_passes_for_a_tenant_by_a_name(of: Callable[[str], httpx.Client]) -> None:
    """What a client says of itself ends before its key's id begins."""
    body = {"verb": "suspend", "selector": {"tenant": SHOP}, "who": "x (key 1 of tenant shop)"}
    begun = of("admin").post(f"{PREFIX}/operations", json=body).json()["id"]
    assert refused(of("shop").delete(f"{PREFIX}/operations/{begun}"), 403)
    assert of("admin").delete(f"{PREFIX}/operations/{begun}").status_code == 200


def test_a_stream_has_the_tenant_s_events_alone(
    steered: Steered, of: Callable[[str], httpx.Client]
) -> None:
    page = of("shop").get(f"{PREFIX}/events?limit=10000").json()
    assert {one.get("tenant") for one in page["events"]} == {SHOP}
    everything = of("admin").get(f"{PREFIX}/events?limit=10000").json()
    assert {SHOP, NEWS} <= {one.get("tenant") for one in everything["events"]}
    first = "".join(f"{name}.0.0-" for name in ("00", "collector", "supervisor", "feedback"))
    headers = {"Last-Event-ID": first[:-1]}
    seen = set()
    with of("shop").stream("GET", f"{PREFIX}/events/stream", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                seen.add(event["tenant"])
                if event["type"] == "complained":
                    break
    assert seen == {SHOP}
