"""From the settings to the small configs of the suppression list, for all who open it."""

from __future__ import annotations

import os.path

from penstock.settings.models import Settings
from penstock.suppression.decide import BOUNCE, COMPLAINT, MAILBOX_FULL, UNSUBSCRIBE
from penstock.suppression.decide import SuppressionRules as Rules
from penstock.suppression.store import StoreConfig


def suppression_directory(settings: Settings) -> str:
    return os.path.join(settings.spool, "suppression")


def store_config(settings: Settings) -> StoreConfig:
    return StoreConfig(settings.suppression.map_bytes, settings.suppression.plus_addresses)


def suppression_rules(settings: Settings) -> Rules:
    given = settings.suppression
    return Rules(
        ttl_s={
            BOUNCE: given.bounce_ttl_s,
            MAILBOX_FULL: given.full_mailbox_ttl_s,
            COMPLAINT: given.complaint_ttl_s,
            UNSUBSCRIBE: given.unsubscribe_ttl_s,
        },
        complaint_classes=given.complaint_classes,
        global_hard_bounces=given.global_hard_bounces,
        list_tag=given.list_tag,
        full_mailbox_times=given.full_mailbox_times,
        full_mailbox_days=float(given.full_mailbox_days),
    )
