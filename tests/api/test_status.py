"""The first route, end to end: a client, a worker, an answer."""

from __future__ import annotations

import httpx

from penstock import __version__


def test_the_status_says_who_answers(client: httpx.Client) -> None:
    answer = client.get("/api/v1/status")
    assert answer.status_code == 200
    assert answer.json() == {
        "version": __version__,
        "delivery": "sandbox",
        "accepts": True,
        "reason": "",
        "tenant": "",
        "scopes": ["admin", "read", "send"],
    }


def test_what_is_not_there_is_a_problem_document(client: httpx.Client) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/docs/problems#not-found",
        "title": "There is nothing here",
        "status": 404,
        "detail": "There is nothing at /api/v1/nothing.",
    }


def test_a_wrong_method_names_the_right_ones(client: httpx.Client) -> None:
    answer = client.delete("/api/v1/status")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.json()["detail"] == "DELETE is not allowed here; allowed: GET."
