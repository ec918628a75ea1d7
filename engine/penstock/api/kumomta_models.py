"""The body of ``POST /api/inject/v1`` as programs written for KumoMTA send it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RECIPIENTS_MAX = 1000
_TEXT_MAX = 60_000_000


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Address(Lenient):
    email: str = Field(max_length=1000)
    name: str | None = Field(default=None, max_length=1000)


class Recipient(Address):
    substitutions: dict[str, Any] = {}


class File(Lenient):
    data: str = Field(max_length=_TEXT_MAX)
    content_type: str = Field(max_length=200)
    content_id: str | None = Field(default=None, max_length=250)
    file_name: str | None = Field(default=None, max_length=500)
    base64: bool = Field(default=False, description="Whether data is in base64.")


class Builder(Lenient):
    """A message that is to be built; every text is a template."""

    text_body: str | None = Field(default=None, max_length=_TEXT_MAX)
    html_body: str | None = Field(default=None, max_length=_TEXT_MAX)
    amp_html_body: str | None = Field(default=None, max_length=_TEXT_MAX)
    attachments: list[File] = Field(default=[], max_length=100)
    headers: dict[str, str] = Field(default={}, max_length=100)
    from_: Address | str | None = Field(default=None, alias="from")
    subject: str | None = Field(default=None, max_length=10_000)
    reply_to: Address | str | None = None


class Inject(Lenient):
    """``POST /api/inject/v1``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "envelope_sender": "news@shop.example",
                    "recipients": [
                        {
                            "email": "ann@example.com",
                            "name": "Ann",
                            "substitutions": {"code": "4711"},
                        }
                    ],
                    "content": {
                        "from": {"email": "news@shop.example", "name": "Shop"},
                        "subject": "Hello {{ name }}",
                        "text_body": "Your code is {{ code }}.",
                    },
                }
            ]
        }
    )

    envelope_sender: str = Field(max_length=1000)
    recipients: list[Recipient] = Field(min_length=1, max_length=RECIPIENTS_MAX)
    content: str | Builder = Field(description="A whole message (a template too), or its parts.")
    substitutions: dict[str, Any] = Field(default={}, description="For all recipients.")
    deferred_spool: bool = Field(
        default=False, description="Answered before it is on disk: our durability memory."
    )
    deferred_generation: bool = Field(default=False, description="Means nothing here.")
    template_dialect: Literal["Jinja", "Static", "Handlebars"] = "Jinja"


class Injected(Lenient):
    """What KumoMTA answers."""

    success_count: int
    fail_count: int
    failed_recipients: list[str]
    errors: list[str]
