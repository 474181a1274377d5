"""Pages on which things with settings are made and changed: connections, stores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from google.protobuf.message import Message
from starlette.responses import Response

from cachesvc.web.calls import CallFailed
from cachesvc.web.page import Fields
from cachesvc.web.runs import Line
from cachesvc.web.settings_form import FormWrong, Group, Setting, SettingsForm
from cachesvc.web.visit import Visit

_SAVE_S = 30.0
_EXISTS = ("CONNECTION_EXISTS", "STORE_EXISTS")
_CHANGED = "somebody has changed it meanwhile; load the page again and repeat"
_NAME = "name"


@dataclass(frozen=True, slots=True)
class Tests:
    """How settings are tried.

    Attributes:
        request: The call, with a field ``settings``.
        timeout_s: Of the whole test.
        line: What one of its answers says.
    """

    request: Callable[..., Message]
    timeout_s: float
    line: Callable[[Any], Line | None]


@dataclass(frozen=True, slots=True)
class Editable:
    """A kind of thing with settings.

    Attributes:
        what: It in a word, as requests call the field that has it, and commands themselves.
        path: Where its page is.
        message: Makes an empty one.
        groups: Its settings; the first is its name.
        get: The call for one of them.
        create: That makes one.
        update: That changes one.
        tests: How it is tried.
        changing: What it means to change one, for people.
    """

    what: str
    path: str
    message: Callable[[], Any]
    groups: Sequence[Group]
    get: Callable[..., Message]
    create: Callable[..., Message]
    update: Callable[..., Message]
    tests: Tests
    changing: str

    @property
    def of_made(self) -> Sequence[Group]:
        """Settings of one that is there: it keeps its name."""
        first, *others = self.groups
        kept = tuple(each for each in first.settings if each.path != _NAME)
        return [replace(first, settings=kept), *others]


class SettingsEditor:
    """Shows and takes forms for one kind of thing.

    Args:
        editable: The kind.
    """

    def __init__(self, editable: Editable) -> None:
        self._of = editable
        self.path_new = f"/new-{editable.what}"
        self.path_edit = f"{editable.path}/{{name}}/edit"
        self.path_try = f"/try-{editable.what}"

    async def show_new(self, visit: Visit) -> Response:
        """A form for a new one."""
        return self._page(visit, SettingsForm.initial(self._of.groups), None)

    async def show_edit(self, visit: Visit) -> Response:
        """A form for one that is there."""
        told = await self._told(visit, visit.place(_NAME))
        return self._page(visit, SettingsForm.told(self._of.of_made, told), told)

    async def make(self, visit: Visit, fields: Fields) -> Response:
        """Makes one, or shows what is wrong."""
        form = SettingsForm.sent(self._of.groups, fields)
        return await self._save(visit, form, None, self._of.message(), self._of.create)

    async def change(self, visit: Visit, fields: Fields) -> Response:
        """Changes one, or shows what is wrong; what the form does not have stays as it is."""
        told = await self._told(visit, visit.place(_NAME))
        form = SettingsForm.sent(self._of.of_made, fields)
        if fields.get("updated_ms", "") != str(told.updated_ms):
            return self._page(visit, replace(form, wrong=_CHANGED), told, 409)
        message = self._of.message()
        message.CopyFrom(told)
        return await self._save(visit, form, told, message, self._of.update)

    async def attempt(self, visit: Visit, fields: Fields) -> Response:
        """Starts a test of what stands in a form, and goes to where it is shown.

        Raises:
            CallFailed: A setting cannot be told.
        """
        of, name = self._of, fields.get(_NAME, "").strip()
        is_made = fields.get("is_made") == "yes"
        message = await self._copy(visit, name) if is_made else of.message()
        form = SettingsForm.sent(of.of_made if is_made else of.groups, fields)
        try:
            form.fill(message)
        except FormWrong as error:
            raise CallFailed("INVALID_CONFIG", f"{error.path}: {error}") from error
        message.name = name or "new"
        answers = partial(
            visit.calls.stream, of.tests.request(message), visit.on, of.tests.timeout_s
        )
        title = f"Test of {of.what} {message.name}, before it is saved"
        run = visit.runs.start(title, visit.name, of.path, answers, of.tests.line)
        return visit.go(f"/runs/{run.key}")

    async def _save(
        self,
        visit: Visit,
        form: SettingsForm,
        told: Any,
        message: Any,
        request: Callable[..., Message],
    ) -> Response:
        of = self._of
        try:
            form.fill(message)
            await visit.ask(request(**{of.what: message}), _SAVE_S)
        except FormWrong as error:
            return self._page(visit, form.refused(error.path, str(error)), told, 400)
        except CallFailed as error:
            if error.is_unauthenticated:
                raise
            field = error.metadata.get("field", "").removeprefix(f"{of.what}.")
            if error.reason in _EXISTS:
                field = _NAME
            return self._page(visit, form.refused(field, error.message), told, error.status)
        done = "made" if told is None else "changed"
        visit.note(f"{of.what.capitalize()} {message.name} is {done}.")
        return visit.go(f"{of.path}/{message.name}")

    async def _told(self, visit: Visit, name: str) -> Any:
        return getattr(await visit.ask(self._of.get(name=name)), self._of.what)

    async def _copy(self, visit: Visit, name: str) -> Any:
        message = self._of.message()
        message.CopyFrom(await self._told(visit, name))
        return message

    def _page(self, visit: Visit, form: SettingsForm, told: Any, status: int = 200) -> Response:
        return visit.render(
            "settings_form.html",
            status,
            of=self._of,
            form=form,
            told=told,
            path_try=self.path_try,
            labels=_labels(form),
        )


def _labels(form: SettingsForm) -> dict[str, str]:
    """What settings and tables are called, by path."""
    found = {group.table: group.title for group in form.groups if group.table}
    settings: list[Setting] = [each for group in form.groups for each in group.settings]
    return found | {each.path: each.label for each in settings}
