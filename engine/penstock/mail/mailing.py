"""One message to many, each with variables of their own: the fast path of templated injection.

What all copies share (the sender's fields, the MIME tree, attachments, bodies without a variable)
is built and encoded once. A copy renders what remains, and of that only the lines that no copy
before it had are encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.mail.build import Built, Draft, boundary_key, finish, standard_fields, to_field
from penstock.mail.build_headers import (
    check_header_names,
    header_field,
    header_fields,
    mailbox_field,
    message_id_text,
    one_line,
    subject_field,
)
from penstock.mail.build_parts import Part, text_part, tree
from penstock.mail.build_text import TextCoder
from penstock.mail.mailbox import CONTROL, Mailbox
from penstock.mail.template import CompiledTemplate, TemplateSet
from penstock.mail.template_error import BadVariables
from penstock.mail.template_meter import OUTPUT_CHARS_MAX, STEPS_MAX, Meter
from penstock.mail.template_variables import check_variables

MAILING_STEPS_MAX = 3_000_000
MAILING_CHARS_MAX = 256 << 20

_SUBTYPES = {"text": b"plain", "amp": b"x-amp-html", "html": b"html"}


class Mailing:
    """Messages that differ in who gets them, and in what ``templates`` make of the variables.

    Where there is a template for a field it stands in the place of the draft's own; templated
    headers follow the draft's. ``draft.to`` and ``draft.message_id`` are not looked at.
    ``steps_max`` and ``output_chars_max`` bound all copies together; each one is bounded by
    ``STEPS_MAX`` and ``OUTPUT_CHARS_MAX`` too.
    """

    def __init__(
        self,
        draft: Draft,
        templates: TemplateSet,
        *,
        steps_max: int = MAILING_STEPS_MAX,
        output_chars_max: int = MAILING_CHARS_MAX,
    ) -> None:
        """Raises :class:`BadDraft`."""
        self._templates = templates
        self._from = draft.from_
        self._cc = draft.cc
        self._date = draft.date
        self.steps_left = steps_max
        self.chars_left = output_chars_max
        own = [(name, f"headers.{name}") for name, _ in draft.headers]
        check_header_names(own + [(name, one.field) for name, one in templates.headers])
        self._from_field = mailbox_field("From", (draft.from_,), "from")
        self._cc_field = mailbox_field("Cc", draft.cc, "cc")
        self._reply_field = mailbox_field("Reply-To", draft.reply_to, "reply_to")
        self._subject_field = subject_field(draft.subject)
        self._header_fields = header_fields(draft.headers)
        self._body = _body(draft, templates)

    def render(
        self,
        to: Mailbox | Sequence[Mailbox],
        variables: Mapping[str, Any],
        message_id: str,
        *,
        cc: Sequence[Mailbox] | None = None,
    ) -> Built:
        """The copy for ``to``; raises :class:`BadVariables` or :class:`BadDraft`."""
        check_variables(variables)
        values = dict(variables)
        meter = Meter(min(STEPS_MAX, self.steps_left), min(OUTPUT_CHARS_MAX, self.chars_left))
        steps, chars = meter.steps_left, meter.chars_left
        try:
            header = self._header(to, values, message_id, cc, meter)
            body = [
                chunk if isinstance(chunk, bytes) else chunk.render(values, meter)
                for chunk in self._body
            ]
        finally:
            self.steps_left -= steps - max(meter.steps_left, 0)
            self.chars_left -= chars - max(meter.chars_left, 0)
        return finish(header, body)

    def _header(
        self,
        to: Mailbox | Sequence[Mailbox],
        values: dict[str, Any],
        message_id: str,
        cc: Sequence[Mailbox] | None,
        meter: Meter,
    ) -> bytes:
        templates = self._templates
        from_field, subject = self._from_field, self._subject_field
        if templates.from_name is not None:
            name = _one_line(templates.from_name, values, meter)
            from_field = mailbox_field("From", (self._from._replace(name=name),), "from")
        if templates.subject is not None:
            subject = subject_field(_one_line(templates.subject, values, meter))
        fields = [
            from_field,
            to_field((to,) if isinstance(to, Mailbox) else to, self._cc if cc is None else cc),
            self._cc_field if cc is None else mailbox_field("Cc", cc, "cc"),
            self._reply_field,
            subject,
            standard_fields(self._date, message_id_text(message_id)),
            self._header_fields,
        ]
        for name, template in templates.headers:
            fields.append(header_field(name, _one_line(template, values, meter), template.field))
        return b"".join(fields)


class _Templated:
    """The place of a body with variables."""

    __slots__ = ("_encode", "_field", "_template")

    def __init__(self, field: str, template: CompiledTemplate) -> None:
        self._field = field
        self._template = template
        self._encode = TextCoder().encode

    def render(self, values: dict[str, Any], meter: Meter) -> bytes:
        text = self._template.render(values, meter)
        return b"".join(text_part(_SUBTYPES[self._field], text, self._field, self._encode))


def _body(draft: Draft, templates: TemplateSet) -> list[bytes | _Templated]:
    """The MIME tree in few chunks, with places for the bodies that have variables."""
    places: dict[int, _Templated] = {}
    parts: dict[str, Part | None] = {}
    for field, subtype in _SUBTYPES.items():
        template = getattr(templates, field)
        text = getattr(draft, field) if template is None else template.constant
        if text is not None:
            parts[field] = text_part(subtype, text, field)
        elif template is not None:
            mark = field.encode("ascii")
            parts[field] = [mark]
            places[id(mark)] = _Templated(field, template)
        else:
            parts[field] = None
    key = boundary_key(repr((draft.from_, draft.subject, draft.date)))
    chunks = tree(parts["text"], parts["amp"], parts["html"], draft.attachments, key)
    merged: list[bytes | _Templated] = []
    waiting: Part = []
    for chunk in chunks:
        place = places.get(id(chunk))
        if place is None:
            waiting.append(chunk)
            continue
        merged += [b"".join(waiting), place]
        waiting = []
    return [*merged, b"".join(waiting)]


def _one_line(template: CompiledTemplate, values: dict[str, Any], meter: Meter) -> str:
    """What ``template`` says in a header: line breaks, and the blanks around them, become one
    space, so that a value with a line break costs nobody a message and nobody a header."""
    text = one_line(template.render(values, meter)).strip()
    if CONTROL.search(text):
        raise BadVariables(template.field, 0, "a control character in a header")
    return text
