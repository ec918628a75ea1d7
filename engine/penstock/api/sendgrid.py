"""``POST /v3/mail/send``: mail from programs that were written for SendGrid, as they are.

Their client needs nothing but another host and a key of ours. Answers have SendGrid's form, errors
too: ``{"errors": [{"message", "field", "help"}]}``.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from penstock.api.access import Caller, needs
from penstock.api.body import is_json, parse_json
from penstock.api.direct import answered_by, direct_router
from penstock.api.forms import answers_in
from penstock.api.idempotency import Answer
from penstock.api.injection import Order
from penstock.api.messages import injected, response_of, rules_of
from penstock.api.ports import Ports, ports
from penstock.api.problem import Problem, validation_problem
from penstock.api.sendgrid_models import Errors, Mail
from penstock.api.sendgrid_order import order_of_mail

PREFIX = "/v3"
router = direct_router(prefix=PREFIX, tags=["Compatibility"])
_NAMES = {
    "pool": "ip_pool_name",
    "tags": "categories",
    "metadata": "custom_args",
    "deliver_at": "send_at",
}
_mail = TypeAdapter(Mail).validate_python


async def _take(request: Request, caller: Caller) -> Response:
    given = request.headers.get("content-type", "")
    if not is_json(given):
        raise Problem(415, "media-type", "Content-Type should be application/json.")
    content = await request.body()
    mail = _understood(content)

    def understand(found: Ports) -> Order:
        tag = found.settings().suppression.list_tag
        return order_of_mail(mail, caller, rules_of(found), tag)

    if mail.mail_settings.sandbox_mode.enable:
        order = understand(ports(request))
        for piece in order.pieces:
            piece.compose(order.envelope_of(piece, [one.address for one in piece.given]))
        return Response(b"", 200)
    return response_of(await injected(request, caller, content, understand))


def _understood(content: bytes) -> Mail:
    try:
        return _mail(parse_json(content))
    except ValidationError as error:
        raise validation_problem(error) from None


def refused(problem: Problem) -> Response:
    """A problem in SendGrid's words; 422 is 400 there."""
    errors: list[dict[str, Any]] = [
        {"message": one.message, "field": _dotted(one.field) or None, "help": None}
        for one in problem.errors
    ] or [{"message": problem.detail, "field": None, "help": None}]
    status = 400 if problem.status == 422 else problem.status
    answer = Answer(status, msgspec.json.encode({"errors": errors}), tuple(problem.headers.items()))
    return response_of(answer)


answers_in(f"{PREFIX}/", refused)


def _dotted(field: str) -> str:
    """``personalizations[0].to`` and the names of our fields as they are written there."""
    name, dot, rest = field.replace("[", ".").replace("]", "").removeprefix(".").partition(".")
    return _NAMES.get(name, name) + dot + rest


@router.post(
    "/mail/send",
    status_code=202,
    summary="Send as with SendGrid",
    response_class=Response,
    responses={
        200: {"description": "With sandbox_mode: it would have been accepted."},
        "default": {
            "description": "What went wrong.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Errors"}}},
            "model": Errors,
        },
    },
    response_description="Accepted, durably; X-Message-Id is the id of the first message.",
)
@answered_by(_take)
async def mail_send(caller: Annotated[Caller, Depends(needs("send"))], mail: Mail) -> None:
    """As SendGrid's API of that name: the clients written for it work with another host and a key
    of ours. A template is given as content; dynamic data is rendered into it by Jinja."""
