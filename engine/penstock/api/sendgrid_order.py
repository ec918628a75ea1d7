"""From a request in SendGrid's form to the messages that are to be made of it, one for each of its
personalizations."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.api.access import Caller
from penstock.api.idempotency import Answer
from penstock.api.injection import Given, Order, Piece, Row
from penstock.api.messages_labels import Labels, Rules, bad_metadata, marked
from penstock.api.messages_order import (
    HEAVY_BYTES,
    compiled,
    drafted,
    mailing_of,
    rendered,
    unbase64,
)
from penstock.api.problem import FieldError, Problem, invalid
from penstock.api.sendgrid_models import RECIPIENTS_MAX, Address, Mail, Personalization
from penstock.mail.build import Attachment, BadMailbox, Draft, Mailbox, make_mailbox
from penstock.mail.envelope import Envelope
from penstock.mail.template import Templates, TemplateSet

_TEXTS = {"text/plain": "text", "text/html": "html", "text/x-amp-html": "amp"}
_TEXT_CHARS_MAX = 10_000_000
_TAG_CHARS_MAX = 256
TAG_CATEGORIES, TAG_BATCH, TAG_GROUP = "categories", "batch_id", "asm_group"


def order_of_mail(mail: Mail, caller: Caller, rules: Rules, list_tag: str = "") -> Order:
    """Raises a ``Problem`` whose errors name fields as SendGrid does. ``list_tag``: the tag that
    names a mailing list, if there is one."""
    _check(mail)
    envelope = marked(_labels(mail, list_tag), caller, rules)
    author = _mailbox(mail.from_, "from")
    envelope.sender = author.address
    envelope.smtputf8 = not author.address.isascii()
    skeleton = _skeleton(mail, author, rules)
    dynamic = _templates(mail, skeleton, rules) is not None
    pieces = [
        _piece(mail, index, one, skeleton, dynamic, rules)
        for index, one in enumerate(mail.personalizations)
    ]
    return Order(envelope, pieces, answer)


def answer(rows: list[Row]) -> Answer:
    """Whoever is suppressed is dropped without a word, and told of as an event: so is it there."""
    first = next((row.id for row in rows if row.id), "")
    bad = [row for row in rows if row.status == "invalid"]
    if bad and not first:
        raise Problem(422, "invalid", bad[0].reason)
    return Answer(202, b"", (("X-Message-Id", first),))


def _check(mail: Mail) -> None:
    if mail.template_id:
        raise _bad(
            "template_id",
            f'There is no template "{mail.template_id[:60]}": give the template itself as content '
            "(and subject), and its variables as dynamic_template_data.",
        )
    if not mail.content:
        raise _bad("content", "Unless a valid template_id is provided, content is required.")
    if mail.reply_to is not None and mail.reply_to_list:
        raise _bad("reply_to_list", "Give either reply_to or reply_to_list.")
    count = 0
    for index, one in enumerate(mail.personalizations):
        count += len(one.to) + len(one.cc) + len(one.bcc)
        if not (one.subject or mail.subject):
            raise _bad(
                f"personalizations.{index}.subject",
                "The subject is required, of the personalization or of the mail.",
            )
    if count > RECIPIENTS_MAX:
        raise _bad(
            "personalizations", f"{count} recipients; at most {RECIPIENTS_MAX} in a request."
        )


def _bad(field: str, message: str) -> Problem:
    return invalid([FieldError(field, message)])


def _labels(mail: Mail, list_tag: str) -> Labels:
    tags = {}
    if mail.categories:
        tags[TAG_CATEGORIES] = ",".join(mail.categories)[:_TAG_CHARS_MAX]
    if mail.batch_id:
        tags[TAG_BATCH] = mail.batch_id
    if mail.asm is not None:
        tags[list_tag or TAG_GROUP] = str(mail.asm.group_id)
    send_at = str(mail.send_at) if mail.send_at else ""
    return Labels(
        pool=mail.ip_pool_name or "",
        tags=tags,
        metadata=mail.custom_args,
        deliver_at=send_at if mail.send_at and mail.send_at > 99_999_999 else "",
    )


def _skeleton(mail: Mail, author: Mailbox, rules: Rules) -> Draft:
    replies = mail.reply_to_list or ([mail.reply_to] if mail.reply_to is not None else [])
    draft = Draft(
        author,
        reply_to=tuple(_mailbox(one, "reply_to") for one in replies),
        subject=mail.subject or "",
        headers=tuple(mail.headers.items()),
        attachments=_files(mail),
        date=rules.now(),
    )
    for one in mail.content:
        name = _TEXTS.get(one.type.partition(";")[0].strip().lower())
        if name is not None:
            setattr(draft, name, one.value)
    return draft


def _files(mail: Mail) -> tuple[Attachment, ...]:
    files = [
        Attachment(
            unbase64(one.content, f"attachments.{index}.content"),
            one.filename,
            one.type,
            one.content_id.strip("<>"),
            one.disposition == "inline",
        )
        for index, one in enumerate(mail.attachments)
    ]
    for one in mail.content:
        if one.type.partition(";")[0].strip().lower() not in _TEXTS:
            files.append(Attachment(one.value.encode(), content_type=one.type))
    return tuple(files)


def _templates(mail: Mail, draft: Draft, rules: Rules) -> TemplateSet | None:
    """The contents as templates, where anybody has variables for them."""
    if not any(one.dynamic_template_data for one in mail.personalizations):
        return None
    return compiled(Templates(draft.subject, draft.text, draft.html, draft.amp), rules, "content")


def _piece(
    mail: Mail, index: int, one: Personalization, skeleton: Draft, dynamic: bool, rules: Rules
) -> Piece:
    where = f"personalizations.{index}"
    to, cc, bcc = (
        tuple(_mailbox(person, f"{where}.{name}.{n}") for n, person in enumerate(people))
        for name, people in (("to", one.to), ("cc", one.cc), ("bcc", one.bcc))
    )
    draft = dataclasses.replace(skeleton, to=to, cc=cc)
    if one.from_ is not None:
        draft.from_ = _mailbox(one.from_, f"{where}.from")
    if one.headers:
        draft.headers = tuple({**mail.headers, **one.headers}.items())
    if one.subject:
        draft.subject = one.subject
    if one.substitutions or mail.sections:
        _substitute(draft, one.substitutions, mail.sections, where)
    errors = bad_metadata(one.custom_args, f"{where}.custom_args")
    if errors:
        raise invalid(errors)
    compose = drafted(draft, rules)
    if dynamic:
        templates = _templates(mail, draft, rules)
        mailing = mailing_of(draft, templates)
        compose = rendered(mailing, to, cc, one.dynamic_template_data, rules, "content")
    weight = sum(len(part.content) for part in skeleton.attachments)
    given = [Given(box.address, box.address) for box in (*to, *cc, *bcc)]
    return Piece(
        given,
        compose,
        dict(one.custom_args),
        weight > HEAVY_BYTES and len(mail.personalizations) == 1,
        _touch(one, draft.from_.address, rules.now()),
    )


def _touch(one: Personalization, sender: str, now: float) -> Callable[[Envelope], None]:
    def touch(envelope: Envelope) -> None:
        envelope.sender = sender
        envelope.smtputf8 = envelope.smtputf8 or not sender.isascii()
        if one.send_at:
            envelope.deliver_at = float(one.send_at) if one.send_at > now else 0.0

    return touch


def _mailbox(person: Address, field: str) -> Mailbox:
    try:
        return make_mailbox(person.name, person.email)
    except BadMailbox as error:
        raise _bad(f"{field}.email", f"Does not contain a valid address: {error}") from None


def _substitute(
    draft: Draft, substitutions: Mapping[str, str], sections: Mapping[str, str], where: str
) -> None:
    """What stands for something else is replaced by that: a section may be named by a substitution
    and may hold some itself."""
    for name in ("subject", "text", "html", "amp"):
        text: Any = getattr(draft, name)
        if text is None:
            continue
        for table in (substitutions, sections, substitutions):
            text = _replaced(text, table)
            if len(text) > _TEXT_CHARS_MAX:
                raise _bad(f"{where}.substitutions", f"The {name} becomes too long by them.")
        setattr(draft, name, text)


def _replaced(text: str, table: Mapping[str, str]) -> str:
    keys: Sequence[str] = sorted(filter(None, table), key=len, reverse=True)
    if not keys:
        return text
    pattern = re.compile("|".join(map(re.escape, keys)))
    size = 0

    def put(found: re.Match[str]) -> str:
        nonlocal size
        value = table[found[0]]
        size += len(value)
        return value if size <= _TEXT_CHARS_MAX * 2 else ""

    return pattern.sub(put, text)
