"""What ``POST /api/v1/messages`` takes, field by field: the one definition that requests are read
by and that the OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

RECIPIENTS_MAX = 1000
ATTACHMENTS_MAX = 100
HEADERS_MAX = 100
TAGS_MAX = 16
METADATA_MAX = 32
METADATA_VALUE_CHARS_MAX = 512
TEXT_CHARS_MAX = 10_000_000
ATTACHMENT_CHARS_MAX = 60_000_000
_ADDRESS_CHARS_MAX = 1000
_MOMENT = (
    'RFC 3339 with its zone, an RFC 5322 date, Unix seconds, or a time from now such as "+90m"'
)


class Model(BaseModel):
    """Whoever misspells a field hears of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _as_person(value: Any) -> Any:
    return {"email": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_text(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.6f}".rstrip("0").rstrip(".") if number else value


class Person(Model):
    """A mailbox; as a string it is `address` or `Name <address>`."""

    email: str = Field(max_length=_ADDRESS_CHARS_MAX, examples=["ann@example.com"])
    name: str = Field(default="", max_length=_ADDRESS_CHARS_MAX, examples=["Ann Smith"])


Mailbox = Annotated[
    Person,
    BeforeValidator(_as_person, json_schema_input_type=Person | str),
]
Mailboxes = Annotated[
    list[Mailbox],
    BeforeValidator(_as_list, json_schema_input_type=list[Person | str] | Person | str),
    Field(max_length=RECIPIENTS_MAX),
]
Moment = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float)]
Values = dict[str, Any]


class Attached(Model):
    """A file of the message, or a part that its HTML shows (`inline`, by `cid:content_id`)."""

    content: str = Field(max_length=ATTACHMENT_CHARS_MAX, description="In base64.")
    filename: str = Field(default="", max_length=500)
    content_type: str = Field(
        default="", max_length=200, description="By the file's name if it is not given."
    )
    content_id: str = Field(default="", max_length=250, description="Without the angle brackets.")
    inline: bool = Field(default=False, description="Shown in the HTML and not listed as a file.")


class Template(Model):
    """Jinja templates, rendered with the variables of each recipient. What is not given here is
    taken from the message as it stands, without rendering."""

    subject: str | None = Field(default=None, max_length=10_000, examples=["Hello {{ name }}"])
    text: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    html: str | None = Field(
        default=None, max_length=TEXT_CHARS_MAX, description="Variables are escaped."
    )
    amp: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    headers: dict[str, str] = Field(default={}, max_length=HEADERS_MAX)


class Recipient(Model):
    """Somebody who gets a message of his own."""

    to: Mailbox
    variables: Values = Field(default={}, description="Before those of the whole call.")
    metadata: dict[str, str] = Field(default={}, max_length=METADATA_MAX)


class Message(Model):
    """One message, or with `recipients` one for each of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "from": "Shop <orders@shop.example>",
                    "to": ["Ann Smith <ann@example.com>"],
                    "subject": "Your order 4711",
                    "text": "It is on its way.",
                    "html": "<p>It is <b>on its way</b>.</p>",
                    "tenant": "shop",
                    "campaign": "orders",
                    "tags": {"kind": "order"},
                    "metadata": {"order": "4711"},
                },
                {
                    "from": "Shop <news@shop.example>",
                    "template": {"subject": "News for {{ name }}", "text": "Hello {{ name }}!"},
                    "recipients": [
                        {"to": "ann@example.com", "variables": {"name": "Ann"}},
                        {"to": "bob@example.org", "variables": {"name": "Bob"}},
                    ],
                },
            ]
        }
    )

    from_: Mailbox = Field(alias="from", description="The author, as the recipient sees it.")
    sender: str | None = Field(
        default=None,
        max_length=_ADDRESS_CHARS_MAX,
        description="The envelope sender, where bounces go; the author if not given. Empty: none.",
    )
    to: Mailboxes = Field(default=[], description="All of them see each other.")
    cc: Mailboxes = Field(default=[])
    bcc: Mailboxes = Field(default=[], description="Get the message and are not named in it.")
    recipients: list[Recipient] = Field(
        default=[],
        max_length=RECIPIENTS_MAX,
        description="Instead of to, cc, bcc: each gets a message of his own, with its own id.",
    )
    reply_to: Mailboxes = Field(default=[])
    subject: str = Field(default="", max_length=10_000)
    text: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    html: str | None = Field(default=None, max_length=TEXT_CHARS_MAX)
    amp: str | None = Field(default=None, max_length=TEXT_CHARS_MAX, description="AMP for Email.")
    headers: dict[str, str] = Field(
        default={}, max_length=HEADERS_MAX, description="Further fields of the header."
    )
    attachments: list[Attached] = Field(default=[], max_length=ATTACHMENTS_MAX)
    raw: str | None = Field(
        default=None,
        max_length=ATTACHMENT_CHARS_MAX,
        description="A whole RFC 5322 message instead of all these, as text or in base64.",
    )
    raw_encoding: Literal["text", "base64"] = Field(
        default="text", description="How `raw` is written."
    )
    template: Template | None = Field(default=None)
    variables: Values = Field(default={}, description="For the template, of all recipients.")

    tenant: str = Field(default="", description="On whose behalf; that of the key if it has one.")
    campaign: str = Field(default="")
    class_: str = Field(
        default="",
        alias="class",
        description="transactional, triggered or bulk.",
        examples=["bulk"],
    )
    pool: str = Field(default="", description="The pool of sources that it leaves by.")
    tags: dict[str, str] = Field(
        default={}, max_length=TAGS_MAX, description="Shown in every event of the message."
    )
    metadata: dict[str, str] = Field(
        default={},
        max_length=METADATA_MAX,
        description="Of the application alone: kept, and shown in every event of the message.",
    )
    deliver_at: Moment = Field(default="", description=f"Not before then: {_MOMENT}.")
    expires_at: Moment = Field(default="", description=f"Given up then: {_MOMENT}.")
    durability: Literal["fsync", "memory"] = Field(
        default="fsync",
        description="Answered once it is on disk; or, with memory, once it is on its way there: "
        "a crash in that moment loses it.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.recipients and (self.to or self.cc or self.bcc):
            raise ValueError("recipients: give either these or to, cc and bcc")
        if not (self.recipients or self.to or self.cc or self.bcc):
            raise ValueError("nobody gets it: give to, cc, bcc or recipients")
        if self.raw is not None:
            given = [
                name
                for name in ("subject", "text", "html", "amp", "headers", "attachments", "template")
                if getattr(self, name)
            ]
            if given:
                raise ValueError(f"raw is a whole message: leave out {', '.join(given)}")
        if len(self.to) + len(self.cc) + len(self.bcc) > RECIPIENTS_MAX:
            raise ValueError(f"over {RECIPIENTS_MAX} recipients in to, cc and bcc")
        if self.variables and self.template is None:
            raise ValueError("variables are for a template, and none is given")
        return self


class Outcome(Model):
    """What becomes of one recipient."""

    recipient: str
    status: Literal["accepted", "suppressed", "invalid", "refused"] = Field(
        description="accepted: on disk, or on its way there with durability memory; suppressed: on "
        "the suppression list; invalid: no address, or its message cannot be made; refused: there "
        "was no room any more, try again."
    )
    id: str = Field(default="", description="Of the message that it gets.")
    reason: str = Field(default="")


class Accepted(Model):
    """What the call answers with."""

    id: str = Field(description="Of the message, or the first of them.")
    accepted: int = Field(description="Recipients by status.")
    suppressed: int
    invalid: int
    refused: int
    recipients: list[Outcome] = Field(description="In the order in which they were given.")


_MODELS: dict[str, type[BaseModel]] = {
    "": Message,
    "recipients": Recipient,
    "attachments": Attached,
    "template": Template,
}


def names_at(place: tuple[int | str, ...]) -> list[str]:
    """The names of the fields that may stand where ``place`` is; none where nobody knows."""
    parents = [part for part in place[:-1] if isinstance(part, str)]
    model = _MODELS.get(".".join(parents))
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]
