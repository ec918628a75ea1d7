"""A mailing's copies say what single messages would say, and no variable gets out of its place."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mail.msglint import lint

from penstock.mail.build import Attachment, BadDraft, Built, Draft, Mailbox, build
from penstock.mail.mailing import Mailing
from penstock.mail.template import BadVariables, Meter, Templates, TemplateSet

ME = Mailbox("Shop", "news@example.com")
YOU = Mailbox("Иван", "ivan@example.net")
DRAFT = Draft(
    ME,
    cc=(Mailbox("", "copy@example.org"),),
    reply_to=(Mailbox("", "answers@example.com"),),
    subject="As it stands",
    text="Plain text as it stands\n",
    headers=(("X-Static", "yes"), ("List-Id", "<news.example.com>")),
    date=1_790_000_000.0,
)
LOGO = Attachment(b"logo" * 100, "logo.png", content_id="logo", inline=True)
FILE = Attachment(b"file" * 1000, "Отчёт.pdf")
TEMPLATES = Templates(
    subject="News for {{ name }}",
    text="Hello {{ name }},\nFrom {{ place }} = here.\n.\n{{ more|default('') }}\n",
    html='<p class="a">Hello {{ name }}</p>\n<a href="{{ url }}">{{ url }}</a>\n' * 5,
    headers=(("X-Number", "n-{{ number }}"),),
    from_name="{{ name }} at the shop",
)
VARIABLES = {"name": "Iván", "place": "here", "url": "https://example.com/?a=1&b=2", "number": 5}

words = st.text(max_size=30) | st.sampled_from(
    ["=", "From ", ".", "\n.\n", "\nFrom x", " ", "\t", "é" * 60, "x" * 200, "--=_a", "\r\n", "😀"]
)
givens = st.fixed_dictionaries(
    {"name": words, "place": words, "url": words, "number": st.integers(0, 10**9)},
    optional={"more": words},
)


def parts(built: Built) -> list[tuple[Any, ...]]:
    """What a reader gets: the header, and every leaf's type, name, id and bytes."""
    message = email.message_from_bytes(built.content, policy=email.policy.default)
    made: list[tuple[Any, ...]] = [
        (name, str(value)) for name, value in message.items() if not name.startswith("Content-")
    ]
    for part in message.walk():
        body = None if part.is_multipart() else part.get_payload(decode=True)
        made.append((part.get_content_type(), part.get_filename(), part["Content-ID"], body))
    return made


def single(draft: Draft, templates: Templates, variables: dict[str, Any]) -> Built:
    """The same copy, rendered and built in the plain way."""
    made = TemplateSet(templates)

    def said(template: Any) -> str:
        return str(template.render(variables, Meter()))

    def line(template: Any) -> str:
        return " ".join(said(template).split())

    assert made.subject is not None
    assert made.from_name is not None
    return build(
        replace(
            draft,
            from_=Mailbox(line(made.from_name), draft.from_.address),
            to=(YOU,),
            subject=line(made.subject),
            text=said(made.text),
            html=said(made.html),
            headers=draft.headers + tuple((name, line(one)) for name, one in made.headers),
            message_id="1@example.com",
        )
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(givens, min_size=1, max_size=3), st.booleans())
def test_a_copy_says_what_a_single_message_says(
    recipients: list[dict[str, Any]], attached: bool
) -> None:
    """Line by line, also the second and third copy, for which lines are remembered."""
    draft = replace(DRAFT, attachments=(LOGO, FILE)) if attached else DRAFT
    mailing = Mailing(draft, TemplateSet(TEMPLATES))
    for variables in recipients:
        try:
            built = mailing.render(YOU, variables, "1@example.com")
        except (BadVariables, BadDraft):
            continue
        assert lint(built.content, smtputf8=built.smtputf8, overlong_fields=True) == []
        wanted = [
            (name, " ".join(value.split()))
            if len((name, value, *rest)) == 2
            else (name, value, *rest)
            for name, value, *rest in parts(single(draft, TEMPLATES, variables))
        ]
        got = [
            (name, " ".join(value.split()))
            if len((name, value, *rest)) == 2
            else (name, value, *rest)
            for name, value, *rest in parts(built)
        ]
        assert got == wanted


def test_what_has_no_template_stands_as_it_is() -> None:
    templates = Templates(html="<p>{{ name }}</p>")
    built = Mailing(DRAFT, TemplateSet(templates)).render(YOU, VARIABLES, "1@example.com")
    message = email.message_from_bytes(built.content, policy=email.policy.default)
    assert message["Subject"] == "As it stands"
    assert message["From"] == "Shop <news@example.com>"
    assert message["To"].addresses[0].display_name == "Иван"
    assert message["Cc"] == "copy@example.org"
    assert message["X-Static"] == "yes"
    assert message["Message-ID"] == "<1@example.com>"
    text, html = (part.get_content() for part in message.iter_parts())
    assert (text, html) == ("Plain text as it stands\r\n", "<p>Iván</p>\r\n")


def test_no_tags_at_all_are_a_message_too() -> None:
    made = TemplateSet(Templates(subject="S", text="T", html="<p>H</p>"))
    built = Mailing(DRAFT, made).render(YOU, {}, "1@example.com")
    assert b"\r\nSubject: S\r\n" in built.content
    assert lint(built.content) == []


def test_several_mailboxes_and_copies_of_their_own() -> None:
    mailing = Mailing(DRAFT, TemplateSet(TEMPLATES))
    other = Mailbox("", "b@example.com")
    built = mailing.render([YOU, other], VARIABLES, "1@example.com", cc=(ME,))
    message = email.message_from_bytes(built.content, policy=email.policy.default)
    assert [one.addr_spec for one in message["To"].addresses] == [YOU.address, other.address]
    assert message["Cc"] == "Shop <news@example.com>"


@pytest.mark.parametrize("bad", ["\r\nBcc: a@b", "\nBcc: a@b", "\rBcc: a@b", "\u2028Bcc: a@b"])
def test_a_line_break_in_a_variable_becomes_a_space(bad: str) -> None:
    """It costs nobody a header, and nobody a message."""
    templates = Templates(
        subject="a{{ v }}", text="x", headers=(("X-A", "{{ v }}"),), from_name="b{{ v }}"
    )
    mailing = Mailing(DRAFT, TemplateSet(templates))
    built = mailing.render(YOU, {"v": bad}, "1@example.com")
    message = email.message_from_bytes(built.content, policy=email.policy.default)
    assert "Bcc" not in message
    assert message["Subject"] == "a Bcc: a@b"
    assert message["X-A"] == "Bcc: a@b"
    assert message["From"].addresses[0].display_name == "b Bcc: a@b"


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\x9c", "\ud800"])
def test_another_control_character_in_a_header_is_refused(bad: str) -> None:
    mailing = Mailing(DRAFT, TemplateSet(Templates(subject="a{{ v }}")))
    with pytest.raises(BadVariables, match="control character") as caught:
        mailing.render(YOU, {"v": bad}, "1@example.com")
    assert caught.value.field == "subject"


def test_a_header_that_renders_to_nothing_is_left_out() -> None:
    mailing = Mailing(DRAFT, TemplateSet(Templates(headers=(("X-A", "{{ v }}"),), subject=" ")))
    built = mailing.render(YOU, {"v": ""}, "1@example.com")
    assert b"X-A" not in built.content
    assert b"Subject" not in built.content


@pytest.mark.parametrize("name", ["Bcc", "DKIM-Signature", "X A", "list-id"])
def test_names_of_templated_headers_are_checked_at_once(name: str) -> None:
    with pytest.raises(BadDraft) as caught:
        Mailing(DRAFT, TemplateSet(Templates(headers=((name, "{{ v }}"),))))
    assert caught.value.field == f"headers.{name}"


@pytest.mark.parametrize(
    ("variables", "field", "message"),
    [
        ({"a": object()}, "variables.a", "nothing that JSON can hold"),
        ({"a": {"b": b"x"}}, "variables.a.b", "nothing that JSON can hold"),
        ({1: "a"}, "variables", "is no name"),
        ({"a": 1 << 64}, "variables.a", "too large"),
        ({"a": "x" * 300_000}, "variables", "more than 262144 characters"),
        ({"a": [0] * 20_000}, "variables", "more than 10000 values"),
        ({"a": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}, "variables.a", "nested deeper than 16"),
    ],
)
def test_variables_are_what_json_can_hold(
    variables: dict[Any, Any], field: str, message: str
) -> None:
    with pytest.raises(BadVariables, match=message) as caught:
        Mailing(DRAFT, TemplateSet(Templates())).render(YOU, variables, "1@example.com")
    assert caught.value.field == field


def test_all_copies_together_have_a_budget() -> None:
    templates = TemplateSet(Templates(text="{% for a in range(100) %}{{ a }}{% endfor %}"))
    mailing = Mailing(DRAFT, templates, steps_max=1000)
    for _ in range(2):
        mailing.render(YOU, {}, "1@example.com")
    while mailing.steps_left > 300:
        mailing.render(YOU, {}, "1@example.com")
    with pytest.raises(BadVariables, match="too many steps"):
        mailing.render(YOU, {}, "1@example.com")


def test_a_fault_of_one_recipient_costs_the_others_nothing() -> None:
    mailing = Mailing(DRAFT, TemplateSet(TEMPLATES))
    with pytest.raises(BadVariables, match="'number'"):
        mailing.render(YOU, {"name": "a", "place": "b", "url": "c"}, "1@example.com")
    assert b"n-5" in mailing.render(YOU, VARIABLES, "1@example.com").content


def test_variables_are_not_changed() -> None:
    given_ = {"l": [1, 2], "d": {"a": 1}}
    templates = Templates(text="{% set l = l + [3] %}{{ l|sort(reverse=true)|join }}{{ d.a }}")
    Mailing(DRAFT, TemplateSet(templates)).render(YOU, given_, "1@example.com")
    assert given_ == {"l": [1, 2], "d": {"a": 1}}
