"""From a call of ``POST /api/v1/messages`` to the messages that are to be made of it."""

from __future__ import annotations

import binascii
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.api.access import Caller
from penstock.api.idempotency import Answer
from penstock.api.injection import Compose, Given, Order, Piece, Row, Unfit, nobody, summary
from penstock.api.injection_raw import Raw, starts_with_dots, trace
from penstock.api.messages_labels import Labels, Rules, bad_metadata, marked
from penstock.api.messages_models import Attached, Message, Person, Recipient
from penstock.api.problem import FieldError, Problem, invalid
from penstock.mail.build import (
    Attachment,
    BadDraft,
    BadMailbox,
    Built,
    Draft,
    Mailbox,
    build,
    make_mailbox,
    parse_mailbox,
)
from penstock.mail.envelope import Envelope
from penstock.mail.mailing import Mailing
from penstock.mail.template import TemplateError, Templates, TemplateSet

HEAVY_BYTES = 256 << 10  # what is made of more is made in a thread
_SPACE = str.maketrans("", "", " \t\r\n")
_COMPILING = threading.Lock()
_NO_TEMPLATES = TemplateSet(Templates())
_encode = msgspec.json.Encoder().encode


def order_of(message: Message, caller: Caller, rules: Rules) -> Order:
    """Raises a 422 that says what is wrong with which field."""
    envelope = marked(labels_of(message), caller, rules)
    if message.raw is not None:
        sender = sender_of(message, mailbox_of(message.from_, "from"))
        pieces = _raw_pieces(message, rules)
    else:
        author = mailbox_of(message.from_, "from")
        sender = sender_of(message, author)
        pieces = _pieces(message, author, rules)
    envelope.sender = sender
    envelope.smtputf8 = not sender.isascii()
    return Order(envelope, pieces, answer, message.durability == "memory")


def labels_of(message: Message) -> Labels:
    return Labels(
        message.tenant,
        message.campaign,
        message.class_,
        message.pool,
        message.tags,
        message.metadata,
        message.deliver_at,
        message.expires_at,
    )


def answer(rows: list[Row]) -> Answer:
    """What ``POST /api/v1/messages`` says."""
    problem = nobody(rows)
    if problem is not None:
        raise problem
    return Answer(202, _encode(summary(rows)))


def sender_of(message: Message, author: Mailbox) -> str:
    """The envelope sender: ``""`` where the null path was asked for."""
    if message.sender is None:
        return author.address
    if not message.sender:
        return ""
    return mailbox_of(Person(email=message.sender), "sender").address


def mailbox_of(person: Person, field: str) -> Mailbox:
    try:
        return _mailbox(person)
    except BadMailbox as error:
        raise invalid([FieldError(field, str(error))]) from None


def _mailbox(person: Person) -> Mailbox:
    if person.name:
        return make_mailbox(person.name, person.email)
    return parse_mailbox(person.email)


def given_of(people: Iterable[Person]) -> tuple[list[Given], tuple[Mailbox, ...]]:
    """Everybody with an address, or with what is wrong with it; and those with one as mailboxes."""
    given, good = [], []
    for person in people:
        try:
            found = _mailbox(person)
        except BadMailbox as error:
            given.append(Given(person.email, "", str(error)))
            continue
        given.append(Given(person.email, found.address))
        good.append(found)
    return given, tuple(good)


def attachments_of(attached: Sequence[Attached]) -> tuple[Attachment, ...]:
    """Raises a 422 for what is no base64."""
    return tuple(
        Attachment(
            unbase64(one.content, f"attachments[{index}].content"),
            one.filename,
            one.content_type,
            one.content_id.strip("<>"),
            one.inline,
        )
        for index, one in enumerate(attached)
    )


def unbase64(text: str, field: str) -> bytes:
    """White space in it is passed over; anything else that is no base64 is a 422."""
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, binascii.Error):
        pass
    try:
        return binascii.a2b_base64(text.translate(_SPACE).encode("ascii"), strict_mode=True)
    except (ValueError, binascii.Error) as error:
        raise invalid([FieldError(field, f"no base64 (RFC 4648 section 4): {error}")]) from None


def bad_draft(error: BadDraft) -> Problem:
    return invalid([FieldError(error.field, error.message)])


def bad_template(error: TemplateError, where: str = "template") -> Problem:
    return invalid([FieldError(field_of(error, where), told(error))])


def field_of(error: TemplateError, where: str = "template") -> str:
    """Where it stands in the request."""
    return error.field if error.field.startswith("variables") else f"{where}.{error.field}"


def told(error: TemplateError) -> str:
    return f"line {error.line}: {error.message}" if error.line else error.message


# whole messages


def _raw_pieces(message: Message, rules: Rules) -> list[Piece]:
    assert message.raw is not None
    if message.raw_encoding == "base64":
        content = unbase64(message.raw, "raw")
    else:
        content = message.raw.encode()
    raw = Raw(content, rules)
    if message.recipients:
        return [
            Piece(given_of([one.to])[0], raw, _own_metadata(one, index))
            for index, one in enumerate(message.recipients)
        ]
    given, _ = given_of([*message.to, *message.cc, *message.bcc])
    return [Piece(given, raw, {}, len(content) > HEAVY_BYTES)]


# messages that are built


def _pieces(message: Message, author: Mailbox, rules: Rules) -> list[Piece]:
    skeleton = _skeleton(message, author, rules)
    heavy = _weight(message) > HEAVY_BYTES
    if not message.recipients:
        return [_whole(message, skeleton, rules, heavy)]
    mailing = mailing_of(skeleton, _templates(message, rules))
    return [
        recipient_piece(
            mailing,
            one.to,
            {**message.variables, **one.variables},
            rules,
            _own_metadata(one, index),
        )
        for index, one in enumerate(message.recipients)
    ]


def _skeleton(message: Message, author: Mailbox, rules: Rules) -> Draft:
    return Draft(
        author,
        reply_to=tuple(
            mailbox_of(one, f"reply_to[{index}]") for index, one in enumerate(message.reply_to)
        ),
        subject=message.subject,
        text=message.text,
        html=message.html,
        amp=message.amp,
        headers=tuple(message.headers.items()),
        attachments=attachments_of(message.attachments),
        date=rules.now(),
    )


def _weight(message: Message) -> int:
    texts = sum(len(one or "") for one in (message.text, message.html, message.amp))
    return texts + sum(len(one.content) for one in message.attachments)


def _templates(message: Message, rules: Rules) -> TemplateSet | None:
    given = message.template
    if given is None:
        return None
    return compiled(
        Templates(given.subject, given.text, given.html, given.amp, tuple(given.headers.items())),
        rules,
    )


def compiled(templates: Templates, rules: Rules, where: str = "template") -> TemplateSet:
    """Raises a 422; ``where`` is what holds them in the request."""
    try:
        with _COMPILING:  # what is large is understood in a thread
            return rules.templates.get(templates)
    except TemplateError as error:
        raise bad_template(error, where) from None


def mailing_of(skeleton: Draft, templates: TemplateSet | None) -> Mailing:
    """Raises a 422."""
    try:
        return Mailing(skeleton, templates or _NO_TEMPLATES)
    except BadDraft as error:
        raise bad_draft(error) from None
    except TemplateError as error:
        raise bad_template(error) from None


def _own_metadata(one: Recipient, index: int) -> dict[str, str]:
    if not one.metadata:
        return {}
    errors = bad_metadata(one.metadata, f"recipients[{index}].metadata")
    if errors:
        raise invalid(errors)
    return dict(one.metadata)


def _whole(message: Message, skeleton: Draft, rules: Rules, heavy: bool) -> Piece:
    """One message to all, who see each other."""
    to, skeleton.to = given_of(message.to)
    cc, skeleton.cc = given_of(message.cc)
    bcc, _ = given_of(message.bcc)
    templates = _templates(message, rules)
    if templates is None:
        compose = drafted(skeleton, rules)
    else:
        mailing = mailing_of(skeleton, templates)
        compose = rendered(mailing, skeleton.to, skeleton.cc, message.variables, rules)
    return Piece([*to, *cc, *bcc], compose, {}, heavy)


def rendered(
    mailing: Mailing,
    to: Sequence[Mailbox],
    cc: Sequence[Mailbox],
    variables: Mapping[str, Any],
    rules: Rules,
    where: str = "template",
) -> Compose:
    """Makes the one message of a template; what is wrong with it is a 422."""

    def compose(envelope: Envelope) -> list[bytes]:
        try:
            built = mailing.render(to, variables, f"{envelope.id}@{rules.hostname}", cc=cc)
        except TemplateError as error:
            raise bad_template(error, where) from None
        except BadDraft as error:
            raise bad_draft(error) from None
        return body_of(built, envelope, rules)

    return compose


def drafted(draft: Draft, rules: Rules) -> Compose:
    """Makes the message of a draft; what is wrong with it is a 422."""

    def compose(envelope: Envelope) -> list[bytes]:
        draft.message_id = f"{envelope.id}@{rules.hostname}"
        try:
            built = build(draft)
        except BadDraft as error:
            raise bad_draft(error) from None
        return body_of(built, envelope, rules)

    return compose


def recipient_piece(
    mailing: Mailing,
    person: Person,
    variables: Mapping[str, Any],
    rules: Rules,
    metadata: dict[str, str],
) -> Piece:
    """A message to one; what cannot be rendered for it concerns nobody else."""
    given, good = given_of([person])

    def compose(envelope: Envelope) -> list[bytes]:
        try:
            built = mailing.render(good[0], variables, f"{envelope.id}@{rules.hostname}")
        except TemplateError as error:
            raise Unfit(f"{field_of(error)}: {told(error)}") from None
        except BadDraft as error:
            raise Unfit(str(error)) from None
        return body_of(built, envelope, rules)

    return Piece(given, compose, metadata)


def body_of(built: Built, envelope: Envelope, rules: Rules) -> list[bytes]:
    content = built.content
    envelope.smtputf8 = envelope.smtputf8 or built.smtputf8
    envelope.eightbit = built.eightbit
    envelope.dotted = starts_with_dots(content)
    return [trace(envelope, rules.hostname, rules.now()), content]
