"""All routes of the API: the one place where a room of routes is registered."""

from __future__ import annotations

from fastapi import APIRouter

from penstock.api import status

ROUTERS: tuple[APIRouter, ...] = (status.router,)
# What the Unix socket in the supervisor serves: no mail goes in there.
STEERING: tuple[APIRouter, ...] = (status.router,)
