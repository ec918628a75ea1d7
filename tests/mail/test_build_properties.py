"""Whatever is given, it is built and reads back as it was given, or it is refused."""

from __future__ import annotations

import email
import email.policy
import email.utils
import re
from email.header import decode_header, make_header
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.mail.msglint import lint

from penstock.mail.build import Attachment, BadDraft, BadMailbox, Draft, build, make_mailbox
from penstock.mail.mailbox import Mailbox

WORDS = [
    "a", "é", "Иван", "中文", "😀", "👩\u200d👩\u200d👧", ", ", " ", "  ", '"', "\\", "=?", "?=",
    "=?utf-8?q?x?=", "(", "<", ">", "@", ";", ":", "x" * 75, "x" * 998, "ж" * 300, ".", "From ",
    "=", "_", "\t", "\u202e", "\ufeff", "e\u0301", "%", "'", "*",
]  # fmt: skip
ONE_WORD_BYTES = 42
any_text = st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
names = any_text.map(lambda text: text[:1000])
bodies = any_text | st.lists(
    st.sampled_from([*WORDS, "\n", "\r\n", "\r", "\nFrom ", "\n.\n", " \n", "\t\n", "--=_a", "\0"]),
    max_size=60,
).map("".join)
attachments = st.builds(
    Attachment,
    st.binary(max_size=300),
    st.text(max_size=80) | st.lists(st.sampled_from(WORDS)).map("".join),
    st.sampled_from(["", "image/png", 'text/calendar; method=REQUEST; charset="utf-8"', "x/y"]),
    st.sampled_from(["", "logo", "image001@example.com"]),
    st.booleans(),
)
mailboxes = st.builds(
    Mailbox,
    names,
    st.sampled_from(["a@example.com", "b.c+d@пример.рф", '"a b"@example.org', "иван@example.com"]),
)
drafts = st.builds(
    Draft,
    from_=mailboxes,
    to=st.lists(mailboxes, max_size=4).map(tuple),
    cc=st.lists(mailboxes, max_size=2).map(tuple),
    subject=any_text,
    text=st.none() | bodies,
    html=st.none() | bodies,
    amp=st.none() | bodies,
    headers=st.lists(
        st.tuples(st.sampled_from(["X-Foo", "X-" + "long" * 18, "Comments"]), any_text), max_size=3
    ).map(tuple),
    attachments=st.lists(attachments, max_size=3).map(tuple),
    date=st.just(1_790_000_000.0),
    message_id=st.just("id-1@example.com"),
)


def parsed(content: bytes) -> EmailMessage:
    """With UTF-8 in the header, only text is read as RFC 6532 says."""
    if content.isascii():
        message = email.message_from_bytes(content, policy=email.policy.default)
    else:
        message = email.message_from_string(content.decode(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def unix(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def check_mailboxes(content: bytes, name: str, mailboxes: tuple[Mailbox, ...]) -> None:
    """By both readers of the standard library; but the newer one leaves blanks between the encoded
    words of one name, against RFC 2047 6.2."""
    wanted = [make_mailbox(one.name, one.address) for one in mailboxes]
    addresses = getattr(parsed(content)[name], "addresses", ())
    assert [one.addr_spec for one in addresses] == [one.address for one in wanted]
    for address, mailbox in zip(addresses, wanted, strict=True):
        if len(mailbox.name.encode()) <= ONE_WORD_BYTES:
            assert address.display_name == mailbox.name
    raw = email.message_from_string(content.decode(), policy=email.policy.compat32)[name] or ""
    pairs = email.utils.getaddresses([re.sub("\r?\n", "", raw)])
    names = [str(make_header(decode_header(one))) for one, address in pairs if address]
    assert names == [one.name for one in wanted]


def check(draft: Draft) -> None:
    try:
        built = build(draft)
    except BadDraft:
        return
    wide = bool(draft.headers)
    assert lint(built.content, smtputf8=built.smtputf8, overlong_fields=wide) == []
    assert built.smtputf8 == built.eightbit == (not built.content.isascii())
    message = parsed(built.content)
    check_mailboxes(built.content, "From", (draft.from_,))
    check_mailboxes(built.content, "To", draft.to)
    check_mailboxes(built.content, "Cc", draft.cc)
    assert (message["Subject"] or "") == draft.subject
    for name in {name for name, _ in draft.headers}:
        given = [value for one, value in draft.headers if one == name and value]
        assert message.get_all(name, []) == given
    check_parts(draft, message)


def check_parts(draft: Draft, message: EmailMessage) -> None:
    leaves = [part for part in message.walk() if not part.is_multipart()]
    assert not any(part.defects for part in leaves)
    bodies = [part for part in leaves if part.get_content_disposition() is None]
    given = [("plain", draft.text), ("x-amp-html", draft.amp), ("html", draft.html)]
    wanted = [(subtype, unix(text)) for subtype, text in given if text is not None]
    got = [(p.get_content_subtype(), p.get_content().replace("\r\n", "\n")) for p in bodies]
    assert got == wanted
    files = [part for part in leaves if part.get_content_disposition() is not None]
    assert len(files) == len(draft.attachments)
    for attachment in draft.attachments:
        assert any(
            part.get_payload(decode=True) == attachment.content
            and (part.get_filename() or "") == attachment.filename.strip()
            and (part["Content-ID"] or "")
            == (f"<{attachment.content_id}>" * bool(attachment.content_id))
            for part in files
        )


@settings(max_examples=250, deadline=None)
@given(drafts)
def test_a_draft_is_built_and_reads_back_or_is_refused(draft: Draft) -> None:
    check(draft)


@settings(max_examples=200, deadline=None)
@given(any_text)
@example("x" * 998)
@example("ж" * 998)
@example("😀" * 998)
@example("word " + "x" * 998 + " end")
@example("a" * 77 + " " + "é" * 50)
def test_a_subject_reads_back(subject: str) -> None:
    check(Draft(Mailbox("", "a@example.com"), subject=subject, text="", message_id="1@x"))


@settings(max_examples=200, deadline=None)
@given(names)
@example("ж, б" * 100)
@example("a, b" * 100)
@example("😀" * 60)
@example("x" * 998)
@example('Иван "Ж" <evil@example.com>')
def test_a_name_reads_back(name: str) -> None:
    check(
        Draft(
            Mailbox(name, "a@example.com"),
            (Mailbox(name, "иван@example.com"),),
            text="",
            message_id="1@x",
        )
    )


@settings(max_examples=200, deadline=None)
@given(bodies)
def test_a_body_reads_back(text: str) -> None:
    check(Draft(Mailbox("", "a@example.com"), text=text, html=text, message_id="1@x"))


FIELDS = ["subject", "headers.X-A", "from", "to", "reply_to", "filename", "content_id",
          "content_type", "message_id", "header name"]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("bad", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\x1b", "\r\n\r\n"])
def test_no_header_can_be_injected(field: str, bad: str) -> None:
    value = f"a{bad}Bcc: victim@example.com"
    attachment = Attachment(
        b"x",
        value if field == "filename" else "f",
        value if field == "content_type" else "image/png",
        value if field == "content_id" else "c",
    )
    me = Mailbox("", "a@example.com")
    with pytest.raises((BadDraft, BadMailbox)):
        build(
            Draft(
                Mailbox(value, "a@example.com") if field == "from" else me,
                (Mailbox("", f"a{bad}@example.com") if field == "to" else me,),
                reply_to=(Mailbox("x", f"a@example.com{bad}") if field == "reply_to" else me,),
                subject=value if field == "subject" else "",
                text="x",
                headers=(
                    (
                        value if field == "header name" else "X-A",
                        value if field == "headers.X-A" else "b",
                    ),
                ),
                attachments=(attachment,),
                message_id=value if field == "message_id" else "1@example.com",
            )
        )
