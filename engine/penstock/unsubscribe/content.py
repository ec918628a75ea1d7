"""The content of a POST: the fields of a form, as either of the two types that RFC 8058 names."""

from __future__ import annotations

from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qsl

_FIELDS_MAX = 20
_FORM = "application/x-www-form-urlencoded"
_PARTS = "multipart/form-data"


class BadContent(ValueError):
    """Why the fields cannot be read."""


def fields_of(content_type: str, body: bytes) -> dict[str, str]:
    """The fields, the last one where a name comes again. Raises :class:`BadContent`."""
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        return {}
    if kind in (_FORM, ""):
        try:
            return dict(
                parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
            )
        except ValueError:
            raise BadContent("not the fields of a form") from None
    if kind == _PARTS:
        return _parts(content_type, body)
    raise BadContent(f"a form comes as {_FORM} or {_PARTS}")


def _parts(content_type: str, body: bytes) -> dict[str, str]:
    head = b"Content-Type: " + content_type.encode("latin-1", "replace").replace(b"\n", b" ")
    message = BytesParser(policy=HTTP).parsebytes(head.replace(b"\r", b" ") + b"\r\n\r\n" + body)
    parts = message.get_payload()
    if not message.is_multipart() or not isinstance(parts, list) or len(parts) > _FIELDS_MAX:
        raise BadContent("not the parts of a form")
    fields = {}
    for part in parts:
        if isinstance(part, Message):
            name = part.get_param("name", header="content-disposition")
            value = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(value, bytes):
                fields[name] = value.decode("utf-8", "replace")
    return fields
