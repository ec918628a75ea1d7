"""``POST /api/v1/messages``: mail comes in over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal
from urllib.parse import parse_qsl

from fastapi import Depends, Header, Query
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from penstock.api.access import Caller, needs
from penstock.api.body import is_json, parse_json
from penstock.api.direct import answered_by, direct_router
from penstock.api.idempotency import HEADER, KEY_CHARS_MAX, Answer, Call, Claim, digest_of
from penstock.api.injection import Order
from penstock.api.messages_labels import Rules
from penstock.api.messages_models import Accepted, Message, names_at
from penstock.api.messages_order import HEAVY_BYTES, order_of
from penstock.api.messages_whole import order_of_whole
from penstock.api.ports import Intake, Ports, ports
from penstock.api.problem import FieldError, Problem, field_errors, invalid
from penstock.api.threads import threads
from penstock.policy.problem import suggestion

RFC822 = "message/rfc822"
QUERY_FIELDS_MAX = 5000
HINTS_MAX = 20  # looking for what was meant takes its time
router = direct_router(tags=["Messages"])
_message = TypeAdapter(Message).validate_python


def rules_of(found: Ports) -> Rules:
    """What names and times are judged by now."""
    return Rules(
        lambda: found.policies().pools,
        found.settings().hostname,
        found.now,
        intake_of(found).templates,
    )


def intake_of(found: Ports) -> Intake:
    if found.intake is None:
        raise Problem(
            503,
            "unavailable",
            "No mail is taken here: send it to one of the daemon's [[api]] listeners.",
        )
    return found.intake


async def injected(
    request: Request,
    caller: Caller,
    content: bytes,
    understand: Callable[[Ports], Order],
) -> Answer:
    """What every way to inject has in common: once by its key, charged, then injected."""
    found = ports(request)
    intake = intake_of(found)

    async def work(claim: Claim) -> Answer:
        if len(content) > HEAVY_BYTES:
            order = await threads().run(understand, found)
        else:
            order = understand(found)
        if caller.limits.messages is not None:
            count = sum(len(piece.given) for piece in order.pieces)
            await found.charges.messages(caller.key, caller.limits, count)
        return await intake.injector.run(order, claim)

    header = request.headers.get("idempotency-key", "")
    if not header:
        return await work(Claim())
    scope = request.scope
    kind = request.headers.get("content-type", "").encode("latin-1")
    digest = digest_of(scope["path"].encode(), scope["query_string"], kind, content)
    return await intake.once.run(Call(caller.key, header, digest), work)


def response_of(answer: Answer) -> Response:
    return Response(
        answer.content, answer.status, dict(answer.headers), media_type="application/json"
    )


def kind_of(request: Request) -> Literal["json", "rfc822"]:
    """Raises a 415 for what is neither."""
    headers = request.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "media-type", "Bodies are taken without a Content-Encoding.")
    given = headers.get("content-type", "")
    if is_json(given):
        return "json"
    if given.partition(";")[0].strip().lower() == RFC822:
        return "rfc822"
    shown = f'not "{given[:100]}"' if given else "and none was given"
    raise Problem(
        415,
        "media-type",
        f'The Content-Type has to be "application/json" or "{RFC822}", {shown}.',
        headers={"Accept": f"application/json, {RFC822}"},
    )


async def _take(request: Request, caller: Caller) -> Response:
    kind = kind_of(request)
    content = await request.body()

    def understand(found: Ports) -> Order:
        rules = rules_of(found)
        if kind == "rfc822":
            return order_of_whole(content, query_of(request), caller, rules)
        _no_query(request)
        try:
            message = _message(parse_json(content))
        except ValidationError as error:
            raise _refused(error) from None
        return order_of(message, caller, rules)

    answer = await injected(request, caller, content, understand)
    return response_of(answer)


def _refused(error: ValidationError) -> Problem:
    """With the field that was probably meant, where one was misspelt."""
    details = error.errors(include_url=False)
    found = field_errors(details)
    for number, detail in enumerate(details[:HINTS_MAX]):
        if detail["type"] == "extra_forbidden":
            hint = suggestion(str(detail["loc"][-1]), names_at(detail["loc"]))
            if hint:
                field, message = found[number]
                found[number] = FieldError(field, f"{message}; {hint}")
    return invalid(found)


def _no_query(request: Request) -> None:
    """What stands in the query of a body in JSON would be overlooked in silence."""
    if request.scope["query_string"]:
        names = dict.fromkeys(name for name, _ in query_of(request))
        what = f"give it in the body: parameters go with a body of type {RFC822}"
        raise invalid([FieldError(f"query {name[:60]}", what) for name in names])


def query_of(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(request.scope["query_string"]),
            errors="strict",
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except (ValueError, UnicodeError) as error:
        raise invalid([FieldError("query", f"cannot be read: {error}")]) from None


_KEY = Header(
    alias=HEADER,
    max_length=KEY_CHARS_MAX,
    description="Makes repeating safe: for 24 hours the same key with the same request gets the "
    "same answer, and nothing is sent twice.",
)
_OF_WHOLE = f"With a body of type `{RFC822}`: "
_AS_JSON = "as the field of that name in JSON."
_QUERY = Query(description=_OF_WHOLE + _AS_JSON)
_PAIRS = Query(description=f"{_OF_WHOLE}`name=value`; repeat it.")


@router.post(
    "/messages",
    status_code=202,
    response_model=Accepted,
    response_description="Accepted, durably; what becomes of each recipient.",
    summary="Send a message, or up to 1,000",
    openapi_extra={
        "requestBody": {
            "content": {
                RFC822: {
                    "schema": {"type": "string", "contentMediaType": RFC822},
                    "example": "From: a@shop.example\r\nTo: b@example.com\r\nSubject: Hi\r\n\r\nHi",
                }
            }
        }
    },
)
@answered_by(_take)
async def send(
    caller: Annotated[Caller, Depends(needs("send"))],
    message: Message,
    idempotency_key: Annotated[str, _KEY] = "",
    sender: Annotated[
        str, Query(alias="from", description=f"{_OF_WHOLE}the envelope sender.")
    ] = "",
    to: Annotated[list[str], Query(description=f"{_OF_WHOLE}a recipient; repeat it.")] = [],  # noqa: B006
    tenant: Annotated[str, _QUERY] = "",
    campaign: Annotated[str, _QUERY] = "",
    class_: Annotated[str, Query(alias="class", description=_OF_WHOLE + _AS_JSON)] = "",
    pool: Annotated[str, _QUERY] = "",
    tag: Annotated[list[str], _PAIRS] = [],  # noqa: B006
    metadata: Annotated[list[str], _PAIRS] = [],  # noqa: B006
    deliver_at: Annotated[str, _QUERY] = "",
    expires_at: Annotated[str, _QUERY] = "",
    durability: Annotated[Literal["fsync", "memory"], _QUERY] = "fsync",
) -> None:
    """Takes one message to up to 1,000 recipients who see each other (`to`, `cc`, `bcc`), or with
    `recipients` up to 1,000 messages to one each, every one with variables of its own for the
    `template`. Answers when all of it is on disk, with an id for each recipient's message and with
    what was wrong with those that get none. Where nobody gets anything the answer is a 422."""
