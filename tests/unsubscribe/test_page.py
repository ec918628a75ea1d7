"""What the page answers, to machines, to people and to whoever tries something else."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.mail.verp import BadToken
from penstock.policy.rate import Rate
from penstock.unsubscribe.clients import client_of
from penstock.unsubscribe.content import BadContent, fields_of
from penstock.unsubscribe.languages import choose, load_texts

PROXIES = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))


async def test_one_click_unsubscribes_without_cookie_or_redirect(page: Any) -> None:
    answer = await page.click()
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert not answer.history
    (told,) = page.told
    assert (told.via, told.reason, told.client, told.at) == ("one-click", "", "198.51.100.7", 1.8e9)
    assert told.token.ref == 7


async def test_one_click_as_parts(page: Any) -> None:
    answer = await page.client.post("/u/x", files={"List-Unsubscribe": (None, "One-Click")})
    assert answer.status_code == 200
    assert page.told[0].via == "one-click"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_following_the_link_changes_nothing(page: Any, method: str) -> None:
    answer = await page.client.request(method, "/u/x")
    assert answer.status_code == 200
    assert page.told == []
    assert ("<form" in answer.text) == (method == "GET")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_not_allowed(page: Any, method: str) -> None:
    answer = await page.client.request(method, "/u/x")
    assert answer.status_code == 405
    assert page.told == []


async def test_the_form_of_the_page_unsubscribes_with_a_reason(page: Any) -> None:
    html = (await page.get()).text
    names = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', html))
    answer = await page.client.post("/u/x", data={**names, "reason": " too \x1b[31mmany\n\nof it "})
    assert answer.status_code == 200
    assert "<form" not in answer.text
    assert [(told.via, told.reason) for told in page.told] == [("page", "too [31mmany of it")]


async def test_a_second_click_is_answered_and_told_only_once(page: Any) -> None:
    for _ in range(3):
        assert (await page.click()).status_code == 200
    assert len(page.told) == 1
    await page.client.post(
        "/u/" + "good0000000000000000000000000000ab", data={"from": "page", "reason": "why"}
    )
    assert [told.reason for told in page.told] == ["", "why"]


async def test_200_only_after_it_is_durable(page: Any) -> None:
    page.fail = OSError("disk full")
    answer = await page.click()
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    page.fail = None
    assert (await page.click()).status_code == 200
    assert len(page.told) == 1


async def test_a_link_that_nobody_remembers_is_too_old(page: Any) -> None:
    page.fail = BadToken("expired")
    answer = await page.click()
    assert answer.status_code == 410
    assert page.counted("expired") == 1


@pytest.mark.parametrize(
    ("token", "status"), [("forged", 404), ("malformed", 404), ("expired", 410)]
)
async def test_bad_tokens(page: Any, token: str, status: int) -> None:
    for answer in (await page.get(f"/u/{token}"), await page.click(f"/u/{token}")):
        assert answer.status_code == status
        assert "<form" not in answer.text
    assert page.told == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-www-form-urlencoded", b"", 400),
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=Two-Click", 400),
        ("application/x-www-form-urlencoded", b"from=\xff", 400),
        ("application/json", b'{"List-Unsubscribe": "One-Click"}', 400),
        ("multipart/form-data", b"no boundary", 400),
        ("application/x-www-form-urlencoded", b"from=page&reason=" + b"x" * 20_000, 413),
    ],
)
async def test_a_post_that_is_neither(
    page: Any, content_type: str, body: bytes, status: int
) -> None:
    answer = await page.client.post("/u/x", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert page.told == []


async def test_a_client_is_limited_and_others_are_not(open_page: Any) -> None:
    page = open_page(peer="127.0.0.1", client_rate=Rate(60, 60.0, 3), proxies=PROXIES)
    answers = [await page.click(x_forwarded_for="192.0.2.1") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    assert (await page.click(x_forwarded_for="192.0.2.2")).status_code == 200
    page.now += 2
    assert (await page.click(x_forwarded_for="192.0.2.1")).status_code == 200
    assert page.counted("limited") == 2


async def test_who_guesses_tokens_is_limited_sooner(open_page: Any) -> None:
    page = open_page(forged_rate=Rate(30, 60.0, 2))
    statuses = [(await page.get("/u/forged")).status_code for _ in range(4)]
    assert statuses == [404, 404, 429, 429]


async def test_the_table_of_clients_is_bounded(open_page: Any) -> None:
    page = open_page(
        peer="127.0.0.1", clients_max=100, proxies=PROXIES, rate=Rate(10**6, 1.0, 10**6)
    )
    for number in range(300):
        await page.get(x_forwarded_for=f"192.0.{number // 256}.{number % 256}")
    rows = page.registry.snapshot()["series"]["penstock_unsubscribe_clients"]
    assert rows == [[[], 100]]


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("de-DE,de;q=0.9,ru;q=0.5,en;q=0.4", "ru"),
        ("fr", "en"),
        ("en;q=0.1, ru;q=0.9", "ru"),
        ("ru;q=0, en", "en"),
        ("*", "en"),
        ("ru;q=nonsense", "en"),
    ],
)
async def test_the_language_of_the_reader(page: Any, accept: str, language: str) -> None:
    answer = await page.get(accept_language=accept)
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}"' in answer.text
    assert load_texts()[language]["ask_button"] in answer.text


async def test_nothing_from_elsewhere_and_nothing_to_remember(page: Any) -> None:
    answer = await page.get()
    assert not re.search(r"https?:|src=|<script|<link|url\(", answer.text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


async def test_programs_get_problem_documents(page: Any) -> None:
    answer = await page.get("/u/forged", accept="application/json")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404
    answer = await page.click(accept="application/json")
    assert answer.json()["status"] == "unsubscribed"
    answer = await page.get("/elsewhere", accept="application/json")
    assert answer.json()["title"] == "Not Found"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", "192.0.2.1", "198.51.100.7"),  # no proxy of ours: not believed
        ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.9, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1:443", "192.0.2.1"),
        ("127.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("", "192.0.2.1", "unknown"),
    ],
)
def test_who_the_client_is(peer: str, forwarded: str, client: str) -> None:
    assert client_of(peer, forwarded, PROXIES) == client


@given(st.text(max_size=200), st.text(max_size=60))
def test_headers_of_any_kind_are_survived(forwarded: str, accept: str) -> None:
    client_of("127.0.0.1", forwarded, PROXIES)
    assert choose(accept, load_texts()) in ("en", "ru")


@given(st.binary(max_size=300), st.sampled_from(["", "multipart/form-data; boundary=x", "a/b"]))
def test_content_of_any_kind_is_survived(body: bytes, content_type: str) -> None:
    try:
        fields = fields_of(content_type, body)
    except BadContent:
        return
    assert all(isinstance(value, str) for value in fields.values())
