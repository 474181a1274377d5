"""The transform that lets rows go on for which a condition holds."""

from typing import Literal

import msgspec

from cachesvc.sync.transform import TransformKind
from cachesvc.sync.transforms.documents import Documents, Node, Object, Steps, opened
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

    def apply(self, documents: Documents) -> None:
        documents.change_rows(self._row)

    def _row(self, value: Node, deleted: bool) -> tuple[Node, bool] | None:
        if deleted and not self._test_deletes:
            return value, deleted
        members: Object = opened(value)
        return (members, deleted) if self._holds(members) else None


FILTER = TransformKind(FilterSettings, lambda settings: Steps([_Filter(settings)]))
