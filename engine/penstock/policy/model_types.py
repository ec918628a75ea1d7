"""What may be written for a field of a model: its type, its bounds and how its kind is called."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from penstock.policy.fields import Shown


class Written(NamedTuple):
    """``annotation`` without ``Annotated`` and without ``None``, which a file cannot hold; ``low``
    and ``high`` are ``None`` where there is no bound."""

    annotation: Any
    shown: Shown | None
    low: Any
    high: Any


def written(info: FieldInfo) -> Written:
    """What a file may hold for the field ``info``."""
    return written_as(info.annotation, list(info.metadata))


def written_as(annotation: Any, metadata: list[Any]) -> Written:
    """The same for a type, with what is known of it from outside."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata = [*metadata, *more]
        elif get_origin(annotation) in (Union, UnionType):
            rest = [part for part in get_args(annotation) if part is not NoneType]
            if len(rest) != 1:
                break
            annotation = rest[0]
        else:
            break
    low = high = None
    for item in metadata:
        if isinstance(item, Ge | Gt):
            low = item.ge if isinstance(item, Ge) else item.gt
        elif isinstance(item, Le | Lt):
            high = item.le if isinstance(item, Le) else item.lt
    shown = next((item for item in metadata if isinstance(item, Shown)), None)
    return Written(annotation, shown, low, high)
