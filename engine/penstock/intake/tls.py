"""TLS on a connection that is already open."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from typing import Any


def describe(transport: asyncio.BaseTransport) -> str:
    """Version and cipher for the trace field, ``""`` in the clear."""
    secured = transport.get_extra_info("ssl_object")
    if secured is None:
        return ""
    cipher = secured.cipher()
    return f"{secured.version()} {cipher[0] if cipher else 'unknown'}"


async def secure(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    timeout_s: float,
    first: bytes = b"",
) -> tuple[asyncio.Transport, str]:
    """The encrypted transport and its description, once the handshake is done.

    ``first`` are bytes of the handshake that were read already, behind a PROXY header.
    ``start_tls`` has no place for them, so then asyncio's TLS protocol is set up by hand, as
    aiosmtpd does it.
    Raises ``OSError`` (``ssl.SSLError``, ``ConnectionError``, ``TimeoutError``).
    """
    secured: Any
    if not first:
        secured = await loop.start_tls(
            transport, protocol, context, server_side=True, ssl_handshake_timeout=timeout_s
        )
        if secured is None:  # the connection went away meanwhile
            raise ConnectionResetError("lost during the TLS handshake")
        return secured, describe(secured)
    done = loop.create_future()
    made: Any = sslproto.SSLProtocol
    wrapper = made(
        loop, protocol, context, done, True, None, False, ssl_handshake_timeout=timeout_s
    )
    secured = wrapper._get_app_transport()
    transport.set_protocol(wrapper)
    wrapper.connection_made(transport)
    while first:
        room = wrapper.get_buffer(len(first))
        size = min(len(room), len(first))
        room[:size] = first[:size]
        wrapper.buffer_updated(size)
        first = first[size:]
    transport.resume_reading()
    await done
    return secured, describe(secured)
