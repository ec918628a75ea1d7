"""What schemathesis has to be told of our media types; it loads this by ``SCHEMATHESIS_HOOKS``."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("message/rfc822")
def whole(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """A message is the body as it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
