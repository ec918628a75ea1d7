"""Kafka. The producer is idempotent and waits for all replicas; the key is the message's id, so
that what became of one message stays in order in one partition."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from penstock.sinks.config import SinkConfig
from penstock.sinks.ports import Message, SinkError, password_of, tls_context


class KafkaPublisher:
    """An idempotent producer that failed is not used again: its sequence is unclear."""

    def __init__(self, config: SinkConfig) -> None:
        self._config = config
        self._producer: Any = None

    async def publish(self, messages: Sequence[Message]) -> None:
        try:
            producer = await self._started()
            step = self._config.in_flight_max
            for start in range(0, len(messages), step):
                sent = [
                    await producer.send(
                        one.subject,
                        one.line,
                        key=one.key.encode() or None,
                        headers=[("event-id", one.id.encode())],
                    )
                    for one in messages[start : start + step]
                ]
                answers = await asyncio.gather(*sent, return_exceptions=True)
                for answer in answers:
                    if isinstance(answer, BaseException):
                        raise answer
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise SinkError(f"Kafka: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    await producer.stop()
            except (KafkaError, OSError, TimeoutError):
                pass

    async def _started(self) -> Any:
        if self._producer is None:
            self._producer = AIOKafkaProducer(**producer_options(self._config))
            async with asyncio.timeout(self._config.timeout_s):
                await self._producer.start()
        return self._producer


def producer_options(config: SinkConfig) -> dict[str, Any]:
    """What the client is made with."""
    milliseconds = int(config.timeout_s * 1000)
    options: dict[str, Any] = {
        "bootstrap_servers": list(config.servers),
        "client_id": f"penstock-{config.name}",
        "acks": "all",
        "enable_idempotence": True,
        "linger_ms": 5,
        "request_timeout_ms": milliseconds,
        "security_protocol": ("SASL_" if config.user else "")
        + ("SSL" if config.tls else "PLAINTEXT"),
    }
    if config.tls:
        options["ssl_context"] = tls_context(config)
    if config.user:
        options |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": config.user,
            "sasl_plain_password": password_of(config),
        }
    return options
