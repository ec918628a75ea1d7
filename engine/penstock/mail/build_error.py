"""What is wrong with a message that somebody wants built."""

from __future__ import annotations


class BadDraft(ValueError):
    """``field`` as the application wrote it (``subject``, ``headers.X-Foo``, ``to[1]``,
    ``attachments[0].filename``); ``message`` says what is wrong and what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
