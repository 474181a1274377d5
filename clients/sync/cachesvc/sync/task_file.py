"""Task files: read, checked, and with paths that no longer depend on where one stands."""

import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cachesvc.sync.config import AlarmsConfig, SourceConfig, TaskConfig
from cachesvc.sync.setting_errors import convert, setting_error

_PATHS = ("path", "directory")
# Tables whose keys are columns, fields and other names of the user's own, not settings.
_OWN_NAMES = ("arguments", "columns", "create", "fields", "headers", "topic_config")
_PATH_ENDINGS = ("_path", "_file", "_directory")


def load_task(path: str | Path) -> TaskConfig:
    """The settings in a task file; relative paths are relative to its directory.

    Raises:
        InvalidTask: The file cannot be read, or is wrong; the message names the setting.
    """
    path = Path(path)
    try:
        tree = tomllib.loads(path.read_text())
    except OSError as error:
        raise setting_error(str(path), "", f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise setting_error(str(path), "", f"is no TOML: {error}") from error
    return parse_task(_with_absolute_paths(tree, path.parent.absolute()), str(path))


def parse_task(tree: Mapping[str, Any], origin: str = "task") -> TaskConfig:
    """Settings as given in Python, of the shape of a task file.

    Raises:
        InvalidTask: They are wrong; the message names the setting by its path.
    """
    config = convert(_with_texts(tree), TaskConfig, origin)
    _check(config, origin)
    return config


def secret(variable: str | None, file: str | None, origin: str, field: str) -> str | None:
    """What an environment variable or a file holds; None where neither is named.

    Raises:
        InvalidTask: Both are named, or what is named is not there or empty.
    """
    if variable is not None and file is not None:
        raise setting_error(origin, f"{field}_file", f"contradicts {field}_env; give one of them")
    if variable is not None:
        found = os.environ.get(variable, "")
        if not found:
            raise setting_error(origin, f"{field}_env", f"the variable {variable} is not set")
        return found
    if file is None:
        return None
    try:
        found = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise setting_error(origin, f"{field}_file", f"{file} cannot be read: {error}") from error
    if not found:
        raise setting_error(origin, f"{field}_file", f"{file} is empty")
    return found


def start_ms(start: str | int) -> int:
    """A time of ``source.start`` in milliseconds since the epoch; UTC if it names no zone.

    Raises:
        ValueError: It is none.
    """
    if isinstance(start, int):
        return start
    moment = datetime.fromisoformat(start)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _check(config: TaskConfig, origin: str) -> None:
    _check_source(config.source, origin)
    _check_errors(config, origin)
    if config.alarms is not None:
        _check_alarms(config.alarms, origin)
    if config.retry.delay_first_s > config.retry.delay_max_s:
        raise setting_error(origin, "retry.delay_first_s", "is above retry.delay_max_s")


def _check_errors(config: TaskConfig, origin: str) -> None:
    errors = config.errors
    places = {
        name: given
        for name in ("dead_letters", "dead_letter_topic")
        if (given := getattr(errors, name)) is not None
    }
    if errors.policy == "dead-letter" and not places:
        problem = 'is missing; policy "dead-letter" needs a directory, or dead_letter_topic'
        raise setting_error(origin, "errors.dead_letters", problem)
    if errors.policy == "stop" and places:
        problem = 'nothing is kept there with policy "stop"; set errors.policy = "dead-letter"'
        raise setting_error(origin, f"errors.{next(iter(places))}", problem)
    if len(places) > 1:
        problem = "contradicts dead_letters; give one of them"
        raise setting_error(origin, "errors.dead_letter_topic", problem)


def _check_alarms(alarms: AlarmsConfig, origin: str) -> None:
    if not _is_webhook(alarms.webhook_url):
        problem = "is no URL of http or https, without user and password"
        raise setting_error(origin, "alarms.webhook_url", problem)
    if alarms.webhook_token_env is not None and alarms.webhook_token_file is not None:
        problem = "contradicts webhook_token_env; give one of them"
        raise setting_error(origin, "alarms.webhook_token_file", problem)


def _is_webhook(text: str) -> bool:
    try:
        url = urlsplit(text)
        known = url.scheme in ("http", "https") and url.port != 0
    except ValueError:
        return False
    return known and bool(url.hostname) and "@" not in url.netloc


def _check_source(source: SourceConfig, origin: str) -> None:
    host, _, port = source.service.rpartition(":")
    if not source.service.startswith("unix:") and not (host and _is_port(port)):
        raise setting_error(origin, "source.service", f"{source.service!r} is not HOST:PORT")
    if bool(source.topics) == bool(source.topic_expression):
        problem = "give exactly one of source.topics and source.topic_expression"
        raise setting_error(origin, "source.topics", problem)
    if source.token_env is not None and source.token_file is not None:
        raise setting_error(origin, "source.token_file", "contradicts token_env; give one of them")
    if isinstance(source.start, str) and source.start not in ("earliest", "latest"):
        try:
            start_ms(source.start)
        except ValueError as error:
            problem = f"{source.start!r} is neither earliest, latest nor a time (ISO 8601)"
            raise setting_error(origin, "source.start", problem) from error
    if source.filter and source.source == "auto":
        problem = 'contradicts source.source = "auto": the broker does not filter; use a transform'
        raise setting_error(origin, "source.filter", problem)
    if source.sharing == "shared" and source.source == "auto":
        problem = '"auto" reads all partitions around the cache, and a task that shares has some'
        raise setting_error(origin, "source.source", problem)
    if source.member and source.sharing != "shared":
        problem = 'has no meaning without source.sharing = "shared"'
        raise setting_error(origin, "source.member", problem)
    _check_bootstrap(source, origin)
    if (source.kafka is not None) != (source.source == "auto"):
        problem = "is needed with" if source.kafka is None else "has no meaning without"
        raise setting_error(origin, "source.kafka", f'{problem} source.source = "auto"')
    if (source.positions_file is not None) != (source.source == "auto"):
        problem = "is needed with" if source.positions_file is None else "has no meaning without"
        raise setting_error(origin, "source.positions_file", f'{problem} source.source = "auto"')


def _check_bootstrap(source: SourceConfig, origin: str) -> None:
    if source.bootstrap == "none":
        return
    why = ""
    if source.source == "auto":
        why = 'source.source = "auto": the broker has no snapshots'
    elif source.mode == "INCREMENTAL":
        why = 'source.mode = "INCREMENTAL", which begins behind all there is'
    elif source.start is not None:
        why = "source.start; leave out one of them"
    if why:
        raise setting_error(origin, "source.bootstrap", f"contradicts {why}")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65_536


def _with_texts(value: Any) -> Any:
    """TOML's own times as text; a list of settings as it is."""
    if isinstance(value, Mapping):
        return {name: _with_texts(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _with_absolute_paths(tree: Any, directory: Path, name: str = "") -> Any:
    """Resolves what is named as a path: ``path``, ``directory``, ``…_file`` and the like."""
    if isinstance(tree, dict) and name in _OWN_NAMES:
        return tree
    if isinstance(tree, dict):
        return {key: _with_absolute_paths(value, directory, key) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_absolute_paths(value, directory, name) for value in tree]
    if not isinstance(tree, str) or not _is_path(name, tree):
        return tree
    return os.path.abspath(directory / tree)


def _is_path(name: str, value: str) -> bool:
    named = name in _PATHS or name == "dead_letters" or name.endswith(_PATH_ENDINGS)
    return named and value not in ("", "-") and "://" not in value
