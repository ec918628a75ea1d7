"""The application in this process, with routes made for the test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
import structlog
from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Scope

from penstock.api.access import Caller, OpenAccess, needs
from penstock.api.app import make_app
from penstock.api.body import check_kind, parse_json
from penstock.api.charges import Charges
from penstock.api.gate import GateConfig
from penstock.api.ports import Ports
from penstock.api.problem import Problem
from penstock.api.routing import Router, direct
from penstock.control import ControlError
from penstock.events.metrics import Registry
from penstock.policy.policies import Policies
from penstock.settings.models import Settings

router = Router(tags=["Test"])
Reader = Annotated[Caller, Depends(needs("read"))]
Sender = Annotated[Caller, Depends(needs("send"))]


class Order(BaseModel):
    name: str = Field(min_length=1)


@router.post("/orders")
async def order(order: Order, caller: Sender, times: int = 1) -> dict[str, Any]:
    return {"name": order.name * times}


@router.post("/direct")
@direct
async def go_direct(request: Request, caller: Sender) -> Response:
    check_kind(request)
    return JSONResponse({"got": parse_json(await request.body())})


@router.get("/{what}")
async def fail(what: str, caller: Reader) -> Any:
    match what:
        case "bug":
            raise ZeroDivisionError("secret")
        case "daemon":
            raise ControlError("not-found", "there is no such message")
        case "gone":
            raise ConnectionResetError
        case "problem":
            raise Problem(409, "conflict", "It is so.", since=3)

    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise ZeroDivisionError("secret")

    return StreamingResponse(parts())


class Narrow(OpenAccess):
    """Lets in whoever, to read alone."""

    async def admit(self, scope: Scope) -> Caller:
        return Caller("k", "shop", frozenset({"read"}), "192.0.2.1")


@pytest.fixture
def registry() -> Registry:
    return Registry()


def client(registry: Registry, access: OpenAccess | None = None) -> httpx.AsyncClient:
    async def call(method: str, params: dict[str, Any]) -> Any:
        raise NotImplementedError

    settings = Settings()
    ports = Ports(
        call, time.time, lambda: settings, Policies, registry, Charges(None, time.monotonic)
    )
    app = make_app([router], access or OpenAccess(), ports, GateConfig(request_bytes_max=1000))
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://test/api/v1")


async def test_a_bug_is_told_without_details_and_logged_with_them(registry: Registry) -> None:
    with structlog.testing.capture_logs() as logs:
        async with client(registry) as one:
            answer = await one.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["type"] == "/docs/problems#failed"
    assert "secret" not in answer.text
    (line,) = logs
    assert line["event"] == "an API request failed"
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_an_answer_that_breaks_off_is_cut_and_logged(registry: Registry) -> None:
    with structlog.testing.capture_logs() as logs:
        async with client(registry) as one:
            with pytest.raises(ZeroDivisionError):
                await one.get("/half")
    assert [line["event"] for line in logs] == ["an API request failed"]


@pytest.mark.parametrize(
    ("what", "status", "detail"),
    [
        ("daemon", 404, "there is no such message"),
        ("gone", 503, "The daemon does not answer; try again."),
        ("problem", 409, "It is so."),
    ],
)
async def test_refusals_become_problems(
    registry: Registry, what: str, status: int, detail: str
) -> None:
    async with client(registry) as one:
        answer = await one.get(f"/{what}")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_parameters_are_named_with_where_they_stand(registry: Registry) -> None:
    async with client(registry) as one:
        answer = await one.post("/orders?times=x", json={"name": ""})
    assert answer.json()["errors"] == [
        {"field": "query times", "message": 'expected an integer, not "x"'},
        {"field": "name", "message": "must not be empty"},
    ]


async def test_the_scope_is_checked_before_the_body_is_read(registry: Registry) -> None:
    async with client(registry, Narrow()) as one:
        for path in ("/orders", "/direct"):
            answer = await one.post(path, content=b"{", headers={"Content-Type": "text/plain"})
            assert answer.status_code == 403
            assert answer.json()["detail"] == 'This needs the scope "send"; the key has: read.'


async def test_a_direct_route_has_all_that_others_have(registry: Registry) -> None:
    async with client(registry) as one:
        assert (await one.post("/direct", json={"a": 1})).json() == {"got": {"a": 1}}
        assert (await one.post("/direct", content=b"{}")).status_code == 415
        assert (await one.post("/direct", json="a" * 2000)).status_code == 413
        wrong = {"content": b"{", "headers": {"Content-Type": "application/json"}}
        assert (await one.post("/direct", **wrong)).status_code == 400  # type: ignore[arg-type]
        assert (await one.put("/direct")).headers["allow"] == "POST"
    series = registry.snapshot()["series"]["penstock_api_requests_total"]
    assert [["/api/v1/direct", "POST", "4xx"], 3] in series
    assert [["/api/v1/direct", "POST", "2xx"], 1] in series


async def test_requests_are_counted_by_template_and_key(registry: Registry) -> None:
    async with client(registry, Narrow()) as one:
        await one.get("/daemon")
        await one.get("/problem")
        await one.request("PROPFIND", "/no/such/thing")
    series = registry.snapshot()["series"]
    assert sorted(series["penstock_api_requests_total"]) == [
        [["/api/v1/{what}", "GET", "4xx"], 2],
        [["none", "other", "4xx"], 1],
    ]
    assert series["penstock_api_key_requests_total"] == [[["k"], 3]]


async def test_the_document_says_scopes_and_problems(registry: Registry) -> None:
    async with client(registry) as one:
        document = (await one.get("http://test/openapi.json")).json()
    operation = document["paths"]["/api/v1/direct"]["post"]
    assert operation["operationId"] == "go_direct"
    assert operation["x-scope"] == "send"
    assert operation["security"] == [{"key": []}]
    assert operation["responses"]["default"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    }
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_a_direct_route_takes_what_the_gate_gives() -> None:
    async def endpoint(request: Request, caller: Caller, more: int) -> Response:
        return Response()

    with pytest.raises(TypeError):
        direct(endpoint)  # type: ignore[type-var]


def test_a_tenants_key_is_for_that_tenant_alone() -> None:
    caller = Caller("k", "shop", frozenset({"read"}), "192.0.2.1")
    assert caller.tenant_of("") == caller.tenant_of("shop") == "shop"
    with pytest.raises(Problem):
        caller.tenant_of("other")
    assert Caller("", "", frozenset(), "").tenant_of("other") == "other"
