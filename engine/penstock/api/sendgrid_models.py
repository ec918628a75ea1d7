"""The body of ``POST /v3/mail/send`` as the clients of SendGrid write it; what we have no use for
(tracking, Google Analytics) is taken and means nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

RECIPIENTS_MAX = 1000
_TEXT_MAX = 10_000_000


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _none_is_empty(value: Any) -> Any:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | float | bool)]
Optional = Annotated[str, BeforeValidator(_none_is_empty, json_schema_input_type=str | None)]
Texts = dict[str, Text]


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Address(Lenient):
    email: str = Field(max_length=1000, examples=["ann@example.com"])
    name: Optional = Field(default="", max_length=1000)


class Content(Lenient):
    type: str = Field(max_length=200, examples=["text/plain"])
    value: str = Field(max_length=_TEXT_MAX, examples=["Hello!"])


class File(Lenient):
    content: str = Field(max_length=60_000_000, description="In base64.")
    filename: str = Field(max_length=500)
    type: Optional = Field(default="", max_length=200)
    disposition: Optional = Field(default="attachment", max_length=20)
    content_id: Optional = Field(default="", max_length=250)


class Personalization(Lenient):
    """One message."""

    to: list[Address] = Field(min_length=1, max_length=RECIPIENTS_MAX)
    cc: list[Address] = Field(default=[], max_length=RECIPIENTS_MAX)
    bcc: list[Address] = Field(default=[], max_length=RECIPIENTS_MAX)
    from_: Address | None = Field(default=None, alias="from")
    subject: str | None = Field(default=None, max_length=10_000)
    headers: Texts = Field(default={}, max_length=100)
    substitutions: Texts = Field(default={}, max_length=1000)
    dynamic_template_data: dict[str, Any] = Field(default={})
    custom_args: Texts = Field(default={}, max_length=100)
    send_at: int | None = Field(default=None, ge=0, le=1 << 40)


class Group(Lenient):
    group_id: int
    groups_to_display: list[int] = []


class Switch(Lenient):
    enable: bool = False


class MailSettings(Lenient):
    sandbox_mode: Switch = Switch()


class Mail(Lenient):
    """``POST /v3/mail/send``."""

    personalizations: list[Personalization] = Field(min_length=1, max_length=RECIPIENTS_MAX)
    from_: Address = Field(alias="from")
    reply_to: Address | None = None
    reply_to_list: list[Address] = Field(default=[], max_length=1000)
    subject: str | None = Field(default=None, max_length=10_000)
    content: list[Content] = Field(default=[], max_length=20)
    attachments: list[File] = Field(default=[], max_length=100)
    template_id: str | None = Field(
        default=None, description="Refused: templates are given as content."
    )
    sections: Texts = Field(default={}, max_length=1000)
    headers: Texts = Field(default={}, max_length=100)
    categories: list[str] = Field(default=[], max_length=10)
    custom_args: Texts = Field(default={}, max_length=100)
    send_at: int | None = Field(default=None, ge=0, le=1 << 40)
    batch_id: str | None = Field(default=None, max_length=100)
    asm: Group | None = None
    ip_pool_name: str | None = Field(default=None, max_length=64)
    mail_settings: MailSettings = MailSettings()


class Error(Lenient):
    message: str
    field: str | None
    help: str | None


class Errors(Lenient):
    """What is wrong, in SendGrid's form."""

    errors: list[Error]
