"""SendGrid's own client, pointed at us and otherwise as it is."""

from __future__ import annotations

import base64
import json
import time

import pytest
from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import (
    Asm,
    Attachment,
    BatchId,
    Category,
    Cc,
    Content,
    ContentId,
    CustomArg,
    Disposition,
    Email,
    FileContent,
    FileName,
    FileType,
    Header,
    Mail,
    MailSettings,
    Personalization,
    ReplyTo,
    SandBoxMode,
    Section,
    SendAt,
    Substitution,
    To,
)
from tests.api.inbox import client_of, delivering


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with delivering(tmp_path_factory.mktemp("sendgrid")) as (daemon, inbox):
        yield SendGridAPIClient(daemon.key, host=daemon.url), inbox, daemon


def simple(subject, **more):
    return Mail(
        from_email=("a@shop.example", "Shop"),
        to_emails=more.pop("to_emails", "ann@example.com"),
        subject=subject,
        plain_text_content="Hello",
        **more,
    )


def shown(daemon, id_):
    with client_of(daemon) as client:
        return client.get(f"/api/v1/messages/{id_}").json()


def test_the_simplest_mail(world):
    sendgrid, inbox, _ = world
    answer = sendgrid.send(simple("simple", html_content="<b>Hello</b>"))
    assert answer.status_code == 202
    assert answer.body == b""
    envelope, message, _ = inbox.wait("simple")[0]
    assert answer.headers["X-Message-Id"] in message["Message-ID"]
    assert envelope.mail_from == "a@shop.example"
    assert message["From"] == "Shop <a@shop.example>"
    assert message.get_body(("html",)).get_content().strip() == "<b>Hello</b>"


def test_everything_at_once(world):
    sendgrid, inbox, daemon = world
    mail = Mail()
    mail.from_email = Email("a@shop.example", "Shop")
    mail.reply_to = ReplyTo("answers@shop.example")
    mail.subject = "all"
    for number in (1, 2):
        one = Personalization()
        one.add_to(To(f"u{number}@example.com", f"U {number}"))
        one.add_cc(Cc(f"cc{number}@example.com"))
        one.subject = f"all {number} -name-"
        one.add_substitution(Substitution("-name-", f"Name {number}"))
        one.add_substitution(Substitution("-section-", ":greeting"))
        one.add_header(Header("X-One", str(number)))
        one.add_custom_arg(CustomArg("order", str(number)))
        mail.add_personalization(one)
    mail.add_section(Section(":greeting", "Dear -name-"))
    mail.add_content(Content("text/plain", "-section-, hello"))
    mail.add_content(Content("text/html", "<p>-section-</p>"))
    mail.add_attachment(
        Attachment(
            FileContent(base64.b64encode(b"%PDF").decode()),
            FileName("a.pdf"),
            FileType("application/pdf"),
            Disposition("attachment"),
        )
    )
    mail.add_attachment(
        Attachment(
            FileContent(base64.b64encode(b"png").decode()),
            FileName("a.png"),
            FileType("image/png"),
            Disposition("inline"),
            ContentId("logo"),
        )
    )
    mail.add_category(Category("spring"))
    mail.add_category(Category("sale"))
    mail.add_custom_arg(CustomArg("shop", "7"))
    mail.add_header(Header("X-All", "yes"))
    mail.asm = Asm(12, [12])
    mail.batch_id = BatchId("batch-1")
    answer = sendgrid.send(mail)
    assert answer.status_code == 202
    for number in (1, 2):
        envelope, message, _ = inbox.wait(f"all {number} Name {number}")[0]
        assert envelope.rcpt_tos == [f"u{number}@example.com", f"cc{number}@example.com"]
        assert (message["X-One"], message["X-All"]) == (str(number), "yes")
        assert message["Reply-To"] == "answers@shop.example"
        text = message.get_body(("plain",)).get_content().strip()
        assert text == f"Dear Name {number}, hello"
        files = {part.get_filename(): part for part in message.walk() if part.get_filename()}
        assert files["a.pdf"].get_content() == b"%PDF"
        assert files["a.png"]["Content-ID"] == "<logo>"
    found = shown(daemon, answer.headers["X-Message-Id"])
    assert sorted(found["tags"].pop("categories").split(",")) == ["sale", "spring"]
    assert found["tags"] == {"batch_id": "batch-1", "asm_group": "12"}
    assert found["metadata"]["shop"] == "7"
    assert found["metadata"]["order"] in ("1", "2")  # the client begins with the last


def test_dynamic_data_is_rendered_into_the_content(world):
    sendgrid, inbox, _ = world
    mail = Mail(
        "a@shop.example",
        "ann@example.com",
        "dynamic {{ name }}",
        html_content="<p>{{ name }} {% for x in list %}{{ x }}{% endfor %}</p>",
    )
    mail.dynamic_template_data = {"name": "<Ann>", "list": [1, 2]}
    assert sendgrid.send(mail).status_code == 202
    _, message, _ = inbox.wait("dynamic <Ann>")[0]
    assert message.get_content().strip() == "<p>&lt;Ann&gt; 12</p>"


def test_send_at_is_kept(world):
    sendgrid, _, daemon = world
    mail = simple("later")
    at = int(time.time()) + 3600
    mail.send_at = SendAt(at)
    answer = sendgrid.send(mail)
    found = shown(daemon, answer.headers["X-Message-Id"])
    assert found["recipients"][0]["state"] == "queued"
    assert found["recipients"][0]["waiting"]["due"] == pytest.approx(at, abs=1)


def test_the_sandbox_mode_sends_nothing(world):
    sendgrid, _, daemon = world
    before = daemon.metric("penstock_messages_accepted_total")
    mail = simple("sandbox")
    mail.mail_settings = MailSettings(sandbox_mode=SandBoxMode(True))
    answer = sendgrid.send(mail)
    assert answer.status_code == 200
    assert daemon.metric("penstock_messages_accepted_total") == before


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        (
            {"template_id": "d-123"},
            "template_id",
            (
                'There is no template "d-123": give the template itself as content (and '
                "subject), and its variables as dynamic_template_data."
            ),
        ),
        (
            {"content": []},
            "content",
            "Unless a valid template_id is provided, content is required.",
        ),
        ({"personalizations": []}, "personalizations", "must not be empty"),
        (
            {"personalizations": [{"to": [{"email": "nobody"}]}]},
            "personalizations.0.to.0.email",
            (
                "Does not contain a valid address: 'nobody' is no address: malformed address; "
                "write it as user@example.com"
            ),
        ),
        ({"from": None}, "from", "expected an object, not null"),
        (
            {"subject": ""},
            "personalizations.0.subject",
            "The subject is required, of the personalization or of the mail.",
        ),
        ({"ip_pool_name": "nowhere"}, "ip_pool_name", '"nowhere" is no pool; pools: default'),
    ],
)
def test_errors_have_sendgrids_form(world, change, field, message):
    sendgrid, _, _ = world
    body = {**simple("wrong").get(), **change}
    with pytest.raises(BadRequestsError) as caught:
        sendgrid.client.mail.send.post(request_body=body)
    (error,) = json.loads(caught.value.body)["errors"]
    assert error["field"] == field
    assert error["help"] is None
    assert error["message"] == message


def test_a_key_that_is_not_good_is_refused_in_sendgrids_form(world):
    _, _, daemon = world
    stranger = SendGridAPIClient("SG.wrong", host=daemon.url)
    with pytest.raises(UnauthorizedError) as caught:
        stranger.send(simple("stranger"))
    (error,) = json.loads(caught.value.body)["errors"]
    assert error["field"] is None
    assert error["message"]
