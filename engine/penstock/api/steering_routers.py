"""All routes that see and steer."""

from __future__ import annotations

from fastapi import APIRouter

from penstock.api import (
    events,
    steering_daemon,
    steering_mail,
    steering_operations,
    steering_policies,
    steering_queue,
    steering_results,
    steering_tls,
    steering_warmup,
    steering_webhooks,
    suppression,
    suppression_files,
)

STEERED: tuple[APIRouter, ...] = (
    steering_daemon.router,
    steering_queue.router,
    steering_operations.router,
    steering_results.router,
    events.router,
    suppression_files.router,
    suppression.router,
    steering_policies.router,
    steering_warmup.router,
    steering_tls.router,
    steering_webhooks.router,
    steering_mail.router,
)
