"""All routes of the API: the one place where a room of routes is registered."""

from __future__ import annotations

from fastapi import APIRouter

from penstock.api import key_routes, kumomta, messages, messages_read, sendgrid, status
from penstock.api.steering_routers import STEERED

_MESSAGES = messages.router, messages_read.router, sendgrid.router, kumomta.router
ROUTERS: tuple[APIRouter, ...] = (status.router, key_routes.router, *_MESSAGES, *STEERED)
# What the Unix socket in the supervisor serves: no mail goes in there.
STEERING: tuple[APIRouter, ...] = (
    status.router,
    key_routes.router,
    messages_read.router,
    *STEERED,
)
