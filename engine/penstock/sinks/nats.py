"""NATS JetStream. The event's id is the message's, so that the stream drops what comes twice within
its duplicate window; each message is acknowledged by the stream, and none is gone before that.

A stream for the subjects must be there: who keeps what for how long is the operator's decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import nats
import nats.errors
from nats.js.errors import APIError, NoStreamResponseError

from penstock.sinks.config import SinkConfig
from penstock.sinks.ports import Message, SinkError, password_of, tls_context


class NatsPublisher:
    """Reconnecting is left to the caller's next try, so that there is one place that waits."""

    def __init__(self, config: SinkConfig) -> None:
        self._config = config
        self._connection: Any = None

    async def publish(self, messages: Sequence[Message]) -> None:
        try:
            stream = await self._stream()
            step = self._config.in_flight_max
            for start in range(0, len(messages), step):
                await self._publish(stream, messages[start : start + step])
        except NoStreamResponseError:
            raise SinkError(f"no stream takes the subject {messages[0].subject}") from None
        except (
            nats.errors.Error,
            APIError,
            OSError,
            TimeoutError,
            asyncio.InvalidStateError,
        ) as error:
            await self.close()
            raise SinkError(f"NATS: {error or type(error).__name__}") from error

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    await connection.close()
            except (nats.errors.Error, OSError, TimeoutError):
                pass

    async def _publish(self, stream: Any, messages: Sequence[Message]) -> None:
        answers = await asyncio.gather(
            *(
                stream.publish(
                    message.subject,
                    message.line,
                    timeout=self._config.timeout_s,
                    headers={"Nats-Msg-Id": message.id, "Content-Type": "application/json"},
                )
                for message in messages
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _stream(self) -> Any:
        if self._connection is None or not self._connection.is_connected:
            await self.close()
            async with asyncio.timeout(self._config.timeout_s):
                self._connection = await nats.connect(**self._options())
        return self._connection.jetstream(
            timeout=self._config.timeout_s,
            publish_async_max_pending=self._config.in_flight_max,
        )

    def _options(self) -> dict[str, Any]:
        config = self._config
        options: dict[str, Any] = {
            "servers": list(config.servers),
            "name": f"penstock-{config.name}",
            "allow_reconnect": False,
            "connect_timeout": config.timeout_s,
            "error_cb": _quiet,
        }
        if config.tls:
            options["tls"] = tls_context(config)
        if config.credentials_file:
            options["user_credentials"] = config.credentials_file
        if config.user:
            options |= {"user": config.user, "password": password_of(config)}
        return options


async def _quiet(_error: Exception) -> None:
    """What goes wrong is raised where it matters; the library's own report is not needed."""
