"""The transform that lets rows go on for which a condition holds."""

from typing import Literal

import msgspec

from cachesvc.sync.transform import TransformKind
from cachesvc.sync.transforms.documents import Row, Steps, opened
from cachesvc.sync.transforms.expression import compiled


class FilterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which rows go on.

    Attributes:
        condition: Over the fields of the value; ``cachesvc.sync.transforms.expression`` has the
            grammar.
        deletes: Deletes go on whatever the condition says, for what is known of a row that is gone
            may be its key alone; ``test`` has them judged like others. Those without a value always
            go on.
    """

    condition: str
    deletes: Literal["keep", "test"] = "keep"


class _Filter:
    def __init__(self, settings: FilterSettings) -> None:
        self._holds = compiled(settings.condition)
        self._test_deletes = settings.deletes == "test"

    def apply(self, row: Row) -> Row | None:
        if row.value is None or (row.deleted and not self._test_deletes):
            return row
        members = opened(row.value)
        if not self._holds(members):
            return None
        row.value = members
        return row


FILTER = TransformKind(FilterSettings, lambda settings: Steps([_Filter(settings)]))
