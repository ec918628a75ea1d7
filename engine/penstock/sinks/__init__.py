"""Events to message brokers: NATS JetStream and Kafka, each behind the same small port.

A broker keeps what it has acknowledged, so there is no queue here: a sink's place in the event log
moves on when the broker has all that is before it, and while it is away the log is the queue. An
event may be published twice, with the same id.
"""
