"""Settings of one thing as a form: what it shows, and the message that it means.

A setting goes by its path in the message: ``tls.ca_file`` is the field ``ca_file`` of the message
in the field ``tls``. What may stand there the service decides; only what is no number at all is
refused here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from google.protobuf.message import Message

YES = "yes"
_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_SIZE = re.compile(r"(?P<number>\d{1,18}(\.\d{1,6})?)\s*(?P<unit>[A-Za-z]*)")
_INDEX = re.compile(r"\[[^\]]*\]")


class Kind(StrEnum):
    """How a setting is shown and read."""

    TEXT = "text"
    LINES = "lines"
    CHOICE = "choice"
    SWITCH = "switch"
    NUMBER = "number"
    SIZE = "size"


class FormWrong(Exception):
    """A setting that the message cannot have.

    Attributes:
        path: Of the setting.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting.

    Attributes:
        path: Of its field in the message.
        label: For people.
        hint: What it is, or what may stand there.
        kind: How it is shown.
        choices: Words, of a choice.
        initial: What it is of a new thing; ``yes`` of a switch that is on.
        required: Whether something has to stand there.
    """

    path: str
    label: str
    hint: str = ""
    kind: Kind = Kind.TEXT
    choices: tuple[str, ...] = ()
    initial: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Settings that belong together.

    Attributes:
        title: For people.
        settings: In their order.
        table: The message that they are of, which is there or not; empty: they always count.
        switch: What having it means, in words.
        when: A setting and the word that it has to have for these to count; None: they do.
    """

    title: str
    settings: tuple[Setting, ...]
    table: str = ""
    switch: str = ""
    when: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SettingsForm:
    """A form with what stands in it.

    Attributes:
        groups: All settings.
        values: Text by path; tables that are there have ``yes``.
        errors: What is wrong, by path.
        wrong: What is wrong with the whole; empty: nothing.
    """

    groups: Sequence[Group]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    wrong: str = ""

    @classmethod
    def initial(cls, groups: Sequence[Group]) -> "SettingsForm":
        """Of a new thing."""
        values = {group.table: "" for group in groups if group.table}
        return cls(groups, values | {each.path: each.initial for each in _settings(groups)}, {})

    @classmethod
    def told(cls, groups: Sequence[Group], message: Message) -> "SettingsForm":
        """Of a thing as the service tells it."""
        values = {each.path: _text(message, each) for each in _settings(groups)}
        for group in groups:
            if group.table:
                values[group.table] = YES if message.HasField(group.table) else ""
        return cls(groups, values, {})

    @classmethod
    def sent(cls, groups: Sequence[Group], fields: Mapping[str, str]) -> "SettingsForm":
        """As it was sent."""
        paths = [each.path for each in _settings(groups)]
        paths += [group.table for group in groups if group.table]
        return cls(groups, {path: fields.get(path, "").strip() for path in paths}, {})

    def fill(self, message: Message) -> None:
        """Has a message say what the form does, and leaves its other fields alone.

        Raises:
            FormWrong: A setting cannot be told.
        """
        for group in self.groups:
            if group.table:
                message.ClearField(group.table)
                if self.values[group.table] != YES:
                    continue
                getattr(message, group.table).SetInParent()
            counts = group.when is None or self.values[group.when[0]] == group.when[1]
            for setting in group.settings:
                _put(message, setting, self.values[setting.path] if counts else "")

    def refused(self, field: str, message: str) -> "SettingsForm":
        """With what the service found wrong.

        Args:
            field: The path of the setting that it named, as it names it; empty: none.
            message: What it said.
        """
        path = _INDEX.sub("", field)
        known = {*(each.path for each in _settings(self.groups)), *self.tables}
        # The words begin with where a call has the setting, which a form shows by itself.
        said = message.partition(f"{field}: ")[2] if field else ""
        if path not in known:
            return replace(self, wrong=message)
        return replace(self, errors={path: said or message})

    @property
    def tables(self) -> list[str]:
        """Messages that are there or not."""
        return [group.table for group in self.groups if group.table]


def _settings(groups: Sequence[Group]) -> Iterator[Setting]:
    return (setting for group in groups for setting in group.settings)


def _owner(message: Any, path: str) -> tuple[Any, str]:
    *tables, last = path.split(".")
    for table in tables:
        message = getattr(message, table)
    return message, last


def _text(message: Message, setting: Setting) -> str:
    owner, name = _owner(message, setting.path)
    field = owner.DESCRIPTOR.fields_by_name[name]
    if field.has_presence and not owner.HasField(name):
        return setting.initial
    value = getattr(owner, name)
    if setting.kind is Kind.LINES:
        return "\n".join(value)
    if setting.kind is Kind.SWITCH:
        return YES if value else ""
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name.lower() if value else ""
    if setting.kind is Kind.SIZE:
        return shown_size(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _put(message: Message, setting: Setting, text: str) -> None:
    owner, name = _owner(message, setting.path)
    field = owner.DESCRIPTOR.fields_by_name[name]
    owner.ClearField(name)
    if setting.kind is Kind.SWITCH:
        setattr(owner, name, text == YES)
    elif not text:
        return
    elif setting.kind is Kind.LINES:
        getattr(owner, name).extend(filter(None, re.split(r"[,\s]+", text)))
    elif setting.kind is Kind.NUMBER:
        setattr(owner, name, _number(setting.path, text))
    elif setting.kind is Kind.SIZE:
        setattr(owner, name, _size(setting.path, text))
    elif field.enum_type is not None:
        value = field.enum_type.values_by_name.get(text.upper())
        if value is None:
            raise FormWrong(setting.path, f"{text!r} is none of the choices")
        setattr(owner, name, value.number)
    else:
        setattr(owner, name, text)


def _number(path: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FormWrong(path, f"{text!r} is no number") from None


def _size(path: str, text: str) -> int:
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match["unit"].lower()) if match else None
    if match is None or unit is None:
        raise FormWrong(path, f"{text!r} is no size; give bytes, or one such as 8 GiB")
    return min(round(float(match["number"]) * unit), (1 << 63) - 1)


def shown_size(count: int) -> str:
    """A size that means exactly so many bytes, in the largest unit that can say it."""
    for name in ("TiB", "GiB", "MiB", "KiB"):
        unit = _UNITS[name.lower()]
        if count and count % unit == 0:
            return f"{count // unit} {name}"
    return str(count)
