"""Why a message waits: a closed list, one word each, the same in explanations, metrics and docs.

Every delivery in the queue is in exactly one of these states at any time; what decides is the first
thing that stands between it and the wire. ``docs/deliverability.md`` says what each means and what
to do about it.
"""

from __future__ import annotations

from enum import Enum


class Wait(Enum):
    """The value is the word; :data:`TEXTS` has the sentence."""

    IN_FLIGHT = "in-flight"
    TURN = "turn"
    READING = "reading"
    SCHEDULED = "scheduled"
    WINDOW = "window"
    RETRY = "retry"
    RESOLVING = "resolving"
    DNS_FAILED = "dns-failed"
    SUSPENDED = "suspended"
    BOUNCING = "bouncing"
    SOURCE_DOWN = "source-down"
    CONNECTING = "connecting"
    CONNECTION_LIMIT = "connection-limit"
    CONNECTION_RATE = "connection-rate"
    MESSAGE_RATE = "message-rate"
    BYTE_RATE = "byte-rate"
    PACE = "pace"
    PAUSED = "paused"
    WARM_UP = "warm-up"
    UNREACHABLE = "unreachable"
    WORKER_CONNECTIONS = "worker-connections"
    REPORTING = "reporting"
    STOPPING = "stopping"


TEXTS: dict[Wait, str] = {
    Wait.IN_FLIGHT: "is being delivered at this moment",
    Wait.TURN: "waits for its turn; the connections of its site are busy with what is ahead of it",
    Wait.READING: "is being read from disk, to be sent next",
    Wait.SCHEDULED: "is not to be sent before the time that its sender gave",
    Wait.WINDOW: "waits for its sending window to open",
    Wait.RETRY: "was deferred and waits for its next attempt",
    Wait.RESOLVING: "waits for the answer of the name servers",
    Wait.DNS_FAILED: "waits until the name servers are asked again; they gave no answer",
    Wait.SUSPENDED: "is held back by an operator",
    Wait.BOUNCING: "is being given up by order of an operator",
    Wait.SOURCE_DOWN: "waits for a source; none that its pool may use can be used now",
    Wait.CONNECTING: "waits for a connection that is being opened",
    Wait.CONNECTION_LIMIT: "waits for a connection; as many as allowed are open",
    Wait.CONNECTION_RATE: "waits until another connection may be opened",
    Wait.MESSAGE_RATE: "waits until the message rate lets another message go",
    Wait.BYTE_RATE: "waits until the byte rate lets another message go",
    Wait.PACE: "waits until the pace that was found for its provider lets it go",
    Wait.PAUSED: "waits; nothing goes to its provider from its source for a while, by its replies",
    Wait.WARM_UP: "waits until the warm-up of its source lets more go",
    Wait.UNREACHABLE: "waits until its site is tried again; it could not be reached",
    Wait.WORKER_CONNECTIONS: "waits for a connection; this worker has all that it may have",
    Wait.REPORTING: "has failed, and the report to its sender is on its way to the disk",
    Wait.STOPPING: "stays in the queue; the daemon is stopping",
}

# What a limit of policy makes wait, by the field that sets it.
BY_FIELD: dict[str, Wait] = {
    "connections": Wait.CONNECTION_LIMIT,
    "connection_rate": Wait.CONNECTION_RATE,
    "message_rate": Wait.MESSAGE_RATE,
    "byte_rate": Wait.BYTE_RATE,
}
