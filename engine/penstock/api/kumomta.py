"""``POST /api/inject/v1``: mail from programs that were written for KumoMTA, as they are."""

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
from penstock.api.idempotency import Answer
from penstock.api.injection import Compose, Given, Order, Piece, Row, Unfit
from penstock.api.injection_raw import Raw
from penstock.api.kumomta_models import Address, Builder, Inject, Injected, Recipient
from penstock.api.messages import injected, response_of, rules_of
from penstock.api.messages_labels import Labels, Rules, marked
from penstock.api.messages_models import Person
from penstock.api.messages_order import (
    compiled,
    mailbox_of,
    mailing_of,
    recipient_piece,
    told,
    unbase64,
)
from penstock.api.ports import Ports
from penstock.api.problem import FieldError, Problem, invalid, validation_problem
from penstock.mail.build import Attachment, BadMailbox, Draft, Mailbox, make_mailbox, parse_mailbox
from penstock.mail.envelope import Envelope
from penstock.mail.template import Meter, TemplateError, Templates, WholeTemplate
from penstock.mail.template_meter import OUTPUT_CHARS_MAX, STEPS_MAX
from penstock.mail.template_variables import check_variables

PREFIX = "/api/inject"
router = direct_router(prefix=PREFIX, tags=["Compatibility"])
_inject = TypeAdapter(Inject).validate_python


async def _take(request: Request, caller: Caller) -> Response:
    if not is_json(request.headers.get("content-type", "application/json")):
        raise Problem(415, "media-type", 'The Content-Type has to be "application/json".')
    content = await request.body()

    def understand(found: Ports) -> Order:
        try:
            wanted = _inject(parse_json(content))
        except ValidationError as error:
            raise validation_problem(error) from None
        return order_of_inject(wanted, caller, rules_of(found))

    return response_of(await injected(request, caller, content, understand))


def order_of_inject(wanted: Inject, caller: Caller, rules: Rules) -> Order:
    """Raises a 422 that says what is wrong with which field."""
    if wanted.template_dialect == "Handlebars":
        raise invalid([FieldError("template_dialect", "Handlebars is not known; Jinja or Static")])
    envelope = marked(Labels(), caller, rules)
    if wanted.envelope_sender:
        sender = mailbox_of(Person(email=wanted.envelope_sender), "envelope_sender").address
        envelope.sender = sender
        envelope.smtputf8 = not sender.isascii()
    if isinstance(wanted.content, str):
        pieces = _whole(wanted, wanted.content, rules)
    else:
        pieces = _built(wanted, wanted.content, rules)
    return Order(envelope, pieces, answer, wanted.deferred_spool)


def answer(rows: list[Row]) -> Answer:
    failed = [row for row in rows if row.status != "accepted"]
    said = Injected(
        success_count=len(rows) - len(failed),
        fail_count=len(failed),
        failed_recipients=[row.recipient for row in failed],
        errors=[f"{row.recipient}: {row.status}: {row.reason}" for row in failed],
    )
    ids = ",".join(dict.fromkeys(row.id for row in rows[:50] if row.status == "accepted"))
    headers = (("X-Message-Ids", ids),) if ids else ()
    return Answer(200, msgspec.json.encode(said.model_dump()), headers)


def _given(one: Recipient) -> Given:
    try:
        return Given(one.email, make_mailbox(one.name or "", one.email).address)
    except BadMailbox as error:
        return Given(one.email, "", str(error))


def _variables(wanted: Inject, one: Recipient) -> dict[str, Any]:
    """``name`` and ``email`` are there without being given."""
    return {
        "email": one.email,
        "name": one.name or "",
        **wanted.substitutions,
        **one.substitutions,
    }


def _whole(wanted: Inject, content: str, rules: Rules) -> list[Piece]:
    """A message that is there already, but for what stands for something else in it."""
    if wanted.template_dialect == "Static":
        raw = Raw(content.encode(), rules, "content")
        return [Piece([_given(one)], raw) for one in wanted.recipients]
    template = _template(content)
    return [
        Piece([_given(one)], _rendered(template, _variables(wanted, one), rules))
        for one in wanted.recipients
    ]


def _template(content: str) -> WholeTemplate:
    """Values in its header stay on their lines: what a recipient is called adds no field."""
    try:
        return WholeTemplate("content", content)
    except TemplateError as error:
        raise invalid([FieldError(error.field, told(error))]) from None


def _rendered(template: WholeTemplate, variables: dict[str, Any], rules: Rules) -> Compose:
    def compose(envelope: Envelope) -> list[bytes]:
        try:
            check_variables(variables)
            text = template.render(variables, Meter(STEPS_MAX, OUTPUT_CHARS_MAX))
        except TemplateError as error:
            raise Unfit(told(error)) from None
        try:
            return Raw(text.encode("utf-8", "replace"), rules, "content")(envelope)
        except Problem as problem:
            raise Unfit(problem.errors[0].message if problem.errors else problem.detail) from None

    return compose


def _built(wanted: Inject, builder: Builder, rules: Rules) -> list[Piece]:
    headers = dict(builder.headers)
    author = builder.from_ or headers.pop("From", None)
    if author is None:
        raise invalid([FieldError("content.from", "missing; or give headers.From")])
    skeleton = Draft(
        _mailbox(author, "content.from"),
        reply_to=(_mailbox(builder.reply_to, "content.reply_to"),) if builder.reply_to else (),
        subject=builder.subject or headers.pop("Subject", ""),
        text=builder.text_body,
        html=builder.html_body,
        amp=builder.amp_html_body,
        headers=tuple((name, text) for name, text in headers.items() if name != "To"),
        attachments=_files(builder),
        date=rules.now(),
    )
    templates = None
    if wanted.template_dialect == "Jinja":
        texts = skeleton.subject, skeleton.text, skeleton.html, skeleton.amp
        templates = compiled(Templates(*texts, skeleton.headers), rules, "content")
        skeleton.headers = ()
    mailing = mailing_of(skeleton, templates)
    return [
        recipient_piece(
            mailing,
            Person(email=one.email, name=one.name or ""),
            _variables(wanted, one),
            rules,
            {},
        )
        for one in wanted.recipients
    ]


def _files(builder: Builder) -> tuple[Attachment, ...]:
    return tuple(
        Attachment(
            unbase64(one.data, f"content.attachments[{index}].data")
            if one.base64
            else one.data.encode(),
            one.file_name or "",
            one.content_type,
            (one.content_id or "").strip("<>"),
            bool(one.content_id),
        )
        for index, one in enumerate(builder.attachments)
    )


def _mailbox(given: Address | str, field: str) -> Mailbox:
    try:
        if isinstance(given, str):
            return parse_mailbox(given)
        return make_mailbox(given.name or "", given.email)
    except BadMailbox as error:
        raise invalid([FieldError(field, str(error))]) from None


@router.post(
    "/v1",
    response_model=Injected,
    summary="Inject as with KumoMTA",
    response_description="What became of the recipients.",
)
@answered_by(_take)
async def inject(caller: Annotated[Caller, Depends(needs("send"))], wanted: Inject) -> None:
    """As KumoMTA's API of that name: each recipient gets a message of his own. Who is suppressed
    counts as failed, with the reason."""
