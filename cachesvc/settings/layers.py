"""The settings of a service that starts here: one TOML file, environment variables, flags.

Precedence, lowest first: default, file, ``CACHESVC_<SECTION>__<FIELD>``, flag. The layers are put
on top of each other and checked one by one, so that a message names the layer that is wrong.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cachesvc.errors import InvalidConfig
from cachesvc.settings.config import (
    Config,
    check_fields,
    check_http_listen,
    check_listen,
    check_mining_listen,
)
from cachesvc.settings.connection import (
    connection_advice,
    make_paths_absolute,
    setting_paths_of_connection,
)
from cachesvc.settings.stores import StoreEntry, make_store_absolute
from cachesvc.settings.validation import located_error, setting_error, setting_paths

ENV_PREFIX = "CACHESVC_"


class Overrides(Struct, frozen=True, kw_only=True):
    """What flags say; None leaves the setting to the environment and the file.

    ``kafka`` makes a connection named "default" (several HOST:PORT separated by commas) and
    ``topics`` is its topic expression; both are for running without a file.
    """

    kafka: str | None = None
    topics: str | None = None
    store: str | None = None
    listen: str | None = None
    insecure: bool | None = None
    log_level: str | None = None
    log_format: str | None = None


_FLAGS = {
    "store": ("--store", "store.path"),
    "listen": ("--listen", "server.listen"),
    "insecure": ("--insecure", "server.insecure"),
    "log_level": ("--log-level", "log.level"),
    "log_format": ("--log-format", "log.format"),
}
_ARRAYS = ("connections", "stores", "access.roles", "access.principals")
_PATH_FIELDS = (
    "store.path",
    "server.tls_certificate_file",
    "server.tls_key_file",
    "server.tls_client_ca_file",
    "mining.join_token_file",
    "alarms.webhook_token_file",
    "jobs.backup.directory",
    "access.jwt.keys_file",
    "access.jwt.keys_ca_file",
    "audit.file",
    "access.secrets_directory",
)


def load_config(path: Path | None, env: Mapping[str, str], overrides: Overrides) -> Config:
    """The settings of a service that is about to start.

    Args:
        path: The TOML file; None for none.
        env: Environment variables; names that are not ``CACHESVC_<SECTION>__<FIELD>`` are ignored.
        overrides: Flags.

    Raises:
        InvalidConfig: The file cannot be read, or a setting is unknown, out of range, missing or
            contradicts another; the message names its source, the field and what to do.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        tree = _read_toml(path)
        _convert(tree, str(path), strict=True)
        _make_absolute(tree, path.parent)
    for variable, field in _variables(env):
        _set(tree, field, env[variable])
        _convert(tree, variable, strict=False)
    _apply_flags(tree, overrides)
    _make_absolute(tree, Path.cwd())
    source = str(path) if path is not None else "flags and environment"
    config = _convert(tree, source, strict=False)
    _check_whole(config, source)
    return config


def _check_whole(config: Config, source: str) -> None:
    """What has to be there when a service starts."""
    if not config.store.path:
        advice = "set it, or give --store DIR or CACHESVC_STORE__PATH"
        raise setting_error(source, "store.path", "is missing", advice)
    check_listen(config.server, source, config.access)
    check_http_listen(config.http, source)
    check_mining_listen(config, source)
    for field in ("tls_certificate_file", "tls_key_file", "tls_client_ca_file"):
        value = getattr(config.server, field)
        if value is not None and not Path(value).is_file():
            raise setting_error(source, f"server.{field}", f"no file {value}", "give a PEM file")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}; check --config"
        raise InvalidConfig(problem) from error
    except ValueError as error:
        raise InvalidConfig(f"{path}: not TOML in UTF-8: {error}") from error


def _settings() -> Iterator[tuple[str, Any]]:
    """Path and default of every setting that is not inside an array."""
    return ((path, default) for path, default in setting_paths(Config) if path not in _ARRAYS)


def _variables(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variable and path of every setting that the environment gives, in order."""
    known = {_variable_of(path): path for path, _ in _settings()}
    for variable in sorted(env):
        if not variable.startswith(ENV_PREFIX) or "__" not in variable:
            continue  # CACHESVC_ADDRESS, and what an orchestrator sets for a service of our name
        if variable not in known:
            close = difflib.get_close_matches(variable, known, 1)
            advice = f"did you mean {close[0]}?" if close else "docs/configuration.md lists them"
            for array in _ARRAYS:
                if f"{variable}__".startswith(f"{_variable_of(array)}__"):
                    advice = f"{array} are set in the file"
            raise InvalidConfig(f"{variable}: no such setting; {advice}")
        yield variable, known[variable]


def _variable_of(path: str) -> str:
    return ENV_PREFIX + path.upper().replace(".", "__")


def _apply_flags(tree: dict[str, Any], overrides: Overrides) -> None:
    for name, (flag, field) in _FLAGS.items():
        value = getattr(overrides, name)
        if value is not None:
            _set(tree, field, value)
            _convert(tree, flag, strict=False)
    if overrides.topics is not None and overrides.kafka is None:
        raise InvalidConfig("--topics needs --kafka; with a file, set topic_expression there")
    if overrides.kafka is None:
        return
    if tree.get("connections"):
        raise InvalidConfig("--kafka contradicts the file's [[connections]]; leave out one of them")
    servers = overrides.kafka.split(",")
    tree["connections"] = [{"name": "default", "bootstrap_servers": servers}]
    _convert(tree, "--kafka", strict=False)
    if overrides.topics is not None:
        tree["connections"][0]["topic_expression"] = overrides.topics
        _convert(tree, "--topics", strict=False)


def _set(tree: dict[str, Any], field: str, value: object) -> None:
    section, _, rest = field.partition(".")
    if rest:
        _set(tree.setdefault(section, {}), rest, value)
    else:
        tree[section] = value


def _make_absolute(tree: dict[str, Any], directory: Path) -> None:
    for field in _PATH_FIELDS:
        *sections, name = field.split(".")
        table = tree
        for section in sections:
            table = table.get(section, {})
        if value := table.get(name):
            table[name] = os.path.abspath(directory / value)
    for store in tree.get("stores", ()):
        make_store_absolute(store, directory)
    for connection in tree.get("connections", ()):
        make_paths_absolute(connection, directory)


def _convert(tree: dict[str, Any], source: str, *, strict: bool) -> Config:
    """The tree as a Config whose fields are right one by one."""
    try:
        config = msgspec.convert(tree, Config, strict=strict)
    except msgspec.ValidationError as error:
        raise located_error(error, source, Config, _known, _advice) from error
    check_fields(config, source)
    return config


def _known(field: str) -> list[str]:
    """The settings that may be meant by one that is not known."""
    if field.startswith("connections["):
        return setting_paths_of_connection(field.partition(".")[0])
    if field.startswith("stores["):
        return [path for path, _ in setting_paths(StoreEntry, f"{field.partition('.')[0]}.")]
    return [path for path, _ in _settings()]


def _advice(field: str) -> str:
    if field.startswith("connections["):
        return connection_advice(field)
    default = dict(_settings()).get(field)
    return f"leave it out for the default, {default}" if default else "see docs/configuration.md"
