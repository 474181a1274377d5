from __future__ import annotations

import pytest

from cachesvc.policy import models
from cachesvc.policy.models import (
    Change,
    ChangeKind,
    JsonType,
    Model,
    Observation,
    Path,
    Seen,
    changes,
    merge,
    model_of,
    path_text,
)

ROOT: Path = ()
ID = (".id",)
NAME = (".name",)


def seen(path: Path, kind: JsonType, count: int = 1, at_ms: int = 5, text: str = "") -> Observation:
    return Observation(path, kind, count, Seen(at_ms, at_ms, text))


def record(*fields: Observation, count: int = 1, at_ms: int = 5) -> Model:
    return model_of([seen(ROOT, JsonType.OBJECT, count, at_ms), *fields])


def test_nullability() -> None:
    found = record(
        seen(ID, JsonType.INTEGER, 3),
        seen(NAME, JsonType.STRING, 1),
        seen(NAME, JsonType.NULL, 1),
        count=3,
    ).fields
    assert not found[ID].nullable
    assert found[NAME].nullable
    assert found[NAME].absent
    only_null = record(seen(NAME, JsonType.NULL)).fields[NAME]
    assert only_null.nullable
    assert not only_null.absent


def test_a_field_of_a_missing_parent_is_not_absent() -> None:
    address, city = (".address",), (".address", ".city")
    with_address = record(seen(address, JsonType.OBJECT), seen(city, JsonType.STRING))
    fields = merge(with_address, record()).fields
    assert fields[address].absent
    assert not fields[city].absent


def test_first_last_and_the_newest_example() -> None:
    old = record(seen(ID, JsonType.INTEGER, at_ms=10, text="7"))
    new = record(seen(ID, JsonType.STRING, at_ms=20, text='"x"'))
    field = merge(new, old).fields[ID]
    assert (field.first_ms, field.last_ms, field.example) == (10, 20, '"x"')
    assert record(seen(ID, JsonType.NULL)).fields[ID].example == ""


def test_changes() -> None:
    before = record(seen(ID, JsonType.INTEGER), at_ms=1)
    new = record(seen(NAME, JsonType.STRING, at_ms=8), seen(NAME, JsonType.NULL, at_ms=7), at_ms=9)
    new = merge(new, record(seen(ID, JsonType.STRING, at_ms=6)))
    assert changes(before, merge(before, new)) == [
        Change(ChangeKind.TYPE_ADDED, ID, (JsonType.STRING,), 6),
        Change(ChangeKind.FIELD_OPTIONAL, ID, (), None),
        Change(ChangeKind.FIELD_ADDED, NAME, (JsonType.NULL, JsonType.STRING), 7),
    ]


def test_the_fields_nearest_to_the_root_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "FIELDS_MAX", 3)
    deep = record(*(seen((".map", f".{n}"), JsonType.NULL) for n in range(9)))
    found = merge(deep, record(seen((".map",), JsonType.OBJECT), seen((".z",), JsonType.NULL)))
    assert set(found.fields) == {ROOT, (".map",), (".z",)}
    assert found.truncated


def test_what_nests_too_deep_or_is_named_too_long_is_left_out() -> None:
    for path in ((".a",) * 21, ("." + "n" * 1_000,)):
        found = record(seen(path, JsonType.NULL))
        assert (set(found.fields), found.truncated) == ({ROOT}, True)
    assert not record(seen((".a",) * 20, JsonType.NULL)).truncated


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "$"),
        ((".after", ".dep_time"), "$.after.dep_time"),
        ((".items", "[]", "[]", ".sku"), "$.items[*][*].sku"),
        ((".a.b", ".[]", ".", '."'), '$."a.b"."[]".""."\\""'),
        ((".größe",), '$."größe"'),
    ],
)
def test_path_text(path: Path, text: str) -> None:
    assert path_text(path) == text
