from __future__ import annotations

from typing import Any

from cachesvc.policy.models import ELEMENT, JsonType, Model, Observation, Path, Seen, model_of
from cachesvc.sql.typed_columns import (
    DEPTH_MAX,
    FIELDS_OF_STRUCT_MAX,
    column_names,
    structure_of,
)


def model(*fields: tuple[Path, JsonType]) -> Model:
    root = ((), JsonType.OBJECT)
    return model_of([Observation(path, kind, 1, Seen(1, 1)) for path, kind in [root, *fields]])


def test_one_type_is_a_column_of_that_type() -> None:
    found = structure_of(
        model(
            ((".on",), JsonType.BOOLEAN),
            ((".id",), JsonType.INTEGER),
            ((".id",), JsonType.NULL),
            ((".price",), JsonType.NUMBER),
            ((".price",), JsonType.INTEGER),
            ((".name",), JsonType.STRING),
            ((".nothing",), JsonType.NULL),
        )
    )
    assert found == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "nothing": "JSON",
        "on": "BOOLEAN",
        "price": "DOUBLE",
    }


def test_mixed_types_are_json() -> None:
    found = structure_of(
        model(((".id",), JsonType.INTEGER), ((".id",), JsonType.STRING), ((".a",), JsonType.ARRAY))
    )
    assert found == {"a": "JSON", "id": "JSON"}


def test_objects_and_arrays_have_their_shape() -> None:
    found = structure_of(
        model(
            ((".after",), JsonType.OBJECT),
            ((".after", ".id"), JsonType.INTEGER),
            ((".tags",), JsonType.ARRAY),
            ((".tags", ELEMENT), JsonType.STRING),
            ((".lines",), JsonType.ARRAY),
            ((".lines", ELEMENT), JsonType.OBJECT),
            ((".lines", ELEMENT, ".sku"), JsonType.STRING),
            ((".empty",), JsonType.OBJECT),
        )
    )
    assert found == {
        "after": {"id": "BIGINT"},
        "empty": "JSON",
        "lines": [{"sku": "VARCHAR"}],
        "tags": ["VARCHAR"],
    }


def test_an_object_with_very_many_fields_is_a_map() -> None:
    many = [((".m", f".k{n}"), JsonType.STRING) for n in range(FIELDS_OF_STRUCT_MAX + 1)]
    assert structure_of(model(((".m",), JsonType.OBJECT), *many)) == {"m": "JSON"}
    assert structure_of(model(((".m",), JsonType.OBJECT), *many[:-1])) != {"m": "JSON"}


def test_depth_is_bounded() -> None:
    paths = [tuple([".a"] * depth) for depth in range(1, DEPTH_MAX + 3)]
    expected: Any = "JSON"
    for _ in range(DEPTH_MAX):
        expected = {"a": expected}
    assert structure_of(model(*((path, JsonType.OBJECT) for path in paths))) == expected


def test_names_that_differ_in_case_alone() -> None:
    """SQL would take the one for the other; within an object the whole of it is JSON then."""
    found = structure_of(
        model(
            ((".id",), JsonType.INTEGER),
            ((".ID",), JsonType.INTEGER),
            ((".o",), JsonType.OBJECT),
            ((".o", ".x"), JsonType.INTEGER),
            ((".o", ".X"), JsonType.INTEGER),
        )
    )
    assert found == {"o": "JSON"}


def test_a_field_that_is_called_as_a_column_of_kafka_is_numbered() -> None:
    names = column_names(["id", "offset", "offset_1", "Key"], ["offset", "key"])
    assert names == {"id": "id", "offset": "offset_1", "offset_1": "offset_1_1", "Key": "Key_1"}
