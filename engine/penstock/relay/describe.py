"""What policy says of a lane by its key alone."""

from __future__ import annotations

from penstock.policy.policies import Policies
from penstock.policy.tenants import BULK, CLASSES
from penstock.relay.lane import Lane
from penstock.schedule.ready import Place

_PLACES_MAX = 10_000


class Describing:
    """Of all lanes of a worker."""

    def __init__(self) -> None:
        self._places: dict[Place, Place] = {}

    def describe(self, lane: Lane, policies: Policies, stamps: bool) -> None:
        """``stamps``: mail is stamped with tokens: see relay/stamp.py."""
        key = lane.key
        lane.class_ = policies.resolve_class(key.tenant, key.class_)[0]
        lane.pool = policies.resolve_pool(key.tenant, lane.class_, key.pool)[0]
        lane.alone = stamps and lane.class_ == BULK and policies.feedback(key.tenant).unsubscribes
        lane.window = policies.window(key.tenant, key.campaign, lane.class_)
        tenant_weight, campaign_weight = policies.weights(key.tenant, key.campaign)
        place = Place(
            CLASSES.index(lane.class_), key.tenant, tenant_weight, key.campaign, campaign_weight
        )
        if len(self._places) >= _PLACES_MAX:
            self._places.clear()
        lane.place = self._places.setdefault(place, place)  # one object for many lanes
        if lane.destination is None:
            lane.limits = policies.limits("", "", key.domain)
