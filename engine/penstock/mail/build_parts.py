"""The MIME tree of a message that is built (RFC 2045, 2046, 2183, 2231, 2387), as chunks of bytes.

A part is a list of chunks, so that nothing large is copied before the whole is joined, and so that
a mailing can put its own chunks in the place of some. ``text``, ``amp`` and ``html`` are
alternatives in this order, since a reader shows the last that it can show and some know only the
last; inline attachments with a content id are related to the HTML; all others follow the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from penstock.mail.build_error import BadDraft
from penstock.mail.build_text import BOUNDARY_START, base64_lines, encode_text
from penstock.mail.mailbox import CONTROL, shown

ATTACHMENTS_MAX = 200
FILENAME_CHARS_MAX = 255
CONTENT_TYPE_CHARS_MAX = 255
_PARAMETER_CHARS_MAX = 60

Part = list[bytes]

_WORD = r"[A-Za-z0-9!#$&^_.+-]{1,70}"
_CONTENT_TYPE = re.compile(
    rf'({_WORD})/({_WORD})((?: *; *{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*) *;? *'
)
_PARAMETER = re.compile(rf'({_WORD})=({_WORD}|"[^"]*")')
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}")
_PLAIN_FILENAME = re.compile(rf"[ !#-\[\]-~]{{1,{_PARAMETER_CHARS_MAX}}}")
_ATTRIBUTE_CHARS = "!#$&+^`{}|"  # beside letters, digits and _.-~ (RFC 2231 7)
_TYPES = {
    "avif": "image/avif", "bmp": "image/bmp", "csv": "text/csv", "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gif": "image/gif", "gz": "application/gzip", "htm": "text/html", "html": "text/html",
    "ics": "text/calendar", "jpeg": "image/jpeg", "jpg": "image/jpeg", "json": "application/json",
    "md": "text/markdown", "mp3": "audio/mpeg", "mp4": "video/mp4", "pdf": "application/pdf",
    "pkpass": "application/vnd.apple.pkpass", "png": "image/png",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "svg": "image/svg+xml", "tif": "image/tiff", "tiff": "image/tiff", "txt": "text/plain",
    "vcf": "text/vcard", "wav": "audio/wav", "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xml": "application/xml", "zip": "application/zip",
}  # fmt: skip
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(slots=True)
class Attachment:
    """``content_type`` may have parameters; where it is ``""``, the end of ``filename`` tells it.
    A message as an attachment (``message/*``) goes out as ``application/octet-stream``, because
    its own type allows no encoding that would keep it as it is."""

    content: bytes
    filename: str = ""
    content_type: str = ""
    content_id: str = ""
    inline: bool = False


def text_part(
    subtype: bytes,
    text: str,
    field: str,
    encode: Callable[[str], tuple[bytes, bytes]] = encode_text,
) -> Part:
    try:
        encoding, body = encode(text)
    except UnicodeEncodeError as error:
        raise BadDraft(
            field, f"half of a surrogate pair at {error.start}, which is no character"
        ) from None
    return [
        b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n"
        % (subtype, encoding),
        body,
    ]


def attachment_part(attachment: Attachment, field: str) -> Part:
    filename = attachment.filename.strip()
    if len(filename) > FILENAME_CHARS_MAX or CONTROL.search(filename):
        raise BadDraft(
            f"{field}.filename",
            f"a file name is up to {FILENAME_CHARS_MAX} characters, without control characters",
        )
    header = [
        b"Content-Type: ",
        _content_type(attachment, field),
        b"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: ",
        b"inline" if attachment.inline else b"attachment",
        _filename_parameter(filename),
        b"\r\n",
    ]
    if attachment.content_id:
        header.append(b"Content-ID: <%b>\r\n" % _content_id(attachment, field).encode("ascii"))
    header.append(b"\r\n")
    return [b"".join(header), *base64_lines(attachment.content)]


def _content_id(attachment: Attachment, field: str) -> str:
    content_id = attachment.content_id.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(content_id):
        raise BadDraft(
            f"{field}.content_id",
            f"{shown(attachment.content_id)} is no content id; allowed are up to 200 printable "
            "ASCII characters without spaces and angle brackets",
        )
    return content_id


def _content_type(attachment: Attachment, field: str) -> bytes:
    text = attachment.content_type.strip(" ")
    if not text:
        ending = attachment.filename.rpartition(".")[2].lower()
        return _TYPES.get(ending, _UNKNOWN_TYPE).encode("ascii")
    found = _CONTENT_TYPE.fullmatch(text) if len(text) <= CONTENT_TYPE_CHARS_MAX else None
    if found is None or found[1].lower() == "multipart":
        raise BadDraft(
            f"{field}.content_type",
            f"{shown(text)} is no type of an attachment; write it as image/png",
        )
    if found[1].lower() == "message":
        return _UNKNOWN_TYPE.encode("ascii")
    pieces = [f"{found[1]}/{found[2]}"]
    for name, value in _PARAMETER.findall(found[3]):
        if name.lower() != "name":  # the file name is given once, where it belongs
            pieces.append(f"{name}={value}")
    return ";\r\n ".join(pieces).encode("ascii")


def _filename_parameter(filename: str) -> bytes:
    if not filename:
        return b""
    if _PLAIN_FILENAME.fullmatch(filename) and "=?" not in filename:
        return f';\r\n filename="{filename}"'.encode("ascii")
    sections = [""]
    for character in filename:
        coded = quote(character, safe=_ATTRIBUTE_CHARS)
        if len(sections[-1]) + len(coded) > _PARAMETER_CHARS_MAX:
            sections.append("")
        sections[-1] += coded
    if len(sections) == 1:
        return f";\r\n filename*=utf-8''{sections[0]}".encode("ascii")
    lines = [
        f";\r\n filename*{at}*={section if at else chr(39).join(('utf-8', '', section))}"
        for at, section in enumerate(sections)
    ]
    return "".join(lines).encode("ascii")


def multipart(subtype: bytes, boundary: bytes, parts: Sequence[Part]) -> Part:
    chunks = [
        b'Content-Type: multipart/%b;\r\n boundary="%b"\r\n\r\n--%b\r\n'
        % (subtype, boundary, boundary)
    ]
    for at, part in enumerate(parts):
        if at:
            chunks.append(b"\r\n--%b\r\n" % boundary)
        chunks += part
    chunks.append(b"\r\n--%b--\r\n" % boundary)
    return chunks


def tree(
    text: Part | None,
    amp: Part | None,
    html: Part | None,
    attachments: Sequence[Attachment],
    key: bytes,
) -> Part:
    """The whole body with its header fields; ``key`` makes the boundaries this message's own.

    Raises :class:`BadDraft` where there is nothing to send, or AMP with nothing to fall back on.
    """
    if len(attachments) > ATTACHMENTS_MAX:
        raise BadDraft("attachments", f"more than {ATTACHMENTS_MAX}")
    if text is None and html is None:
        if amp is not None:
            raise BadDraft("amp", "readers that do not know AMP need text or html beside it")
        if not attachments:
            raise BadDraft("text", "the message is empty; give text, html or an attachment")
    _check_content_ids(attachments)
    related: list[Part] = []
    mixed: list[Part] = []
    for at, attachment in enumerate(attachments):
        part = attachment_part(attachment, f"attachments[{at}]")
        belongs = html is not None and attachment.inline and attachment.content_id
        (related if belongs else mixed).append(part)
    if html is not None and related:
        html = multipart(b"related", BOUNDARY_START + b"r" + key, [html, *related])
    bodies = [part for part in (text, amp, html) if part is not None]
    if len(bodies) > 1:
        bodies = [multipart(b"alternative", BOUNDARY_START + b"a" + key, bodies)]
    if mixed:
        bodies = [multipart(b"mixed", BOUNDARY_START + b"m" + key, [*bodies, *mixed])]
    return bodies[0]


def _check_content_ids(attachments: Iterable[Attachment]) -> None:
    seen = set()
    for at, attachment in enumerate(attachments):
        if attachment.content_id and attachment.content_id in seen:
            raise BadDraft(f"attachments[{at}].content_id", "used by another attachment already")
        seen.add(attachment.content_id)
