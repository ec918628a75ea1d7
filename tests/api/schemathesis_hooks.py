"""What schemathesis must be told about our media types: a raw message is so many bytes."""

from __future__ import annotations

import schemathesis

schemathesis.serializer.alias("message/rfc822", "application/octet-stream")
