"""``[[stores]]``: places for sealed files beside the service's own directory."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cachesvc.model import LOCAL_STORE
from cachesvc.settings.connection import DEFAULT_STORE, ConnectionConfig, FilePath, Name, Variable
from cachesvc.settings.validation import inside, located_error, setting_error, setting_paths

GIB = 1 << 30
_RESERVED = (LOCAL_STORE, DEFAULT_STORE)
_PATHS = ("path", "access_key_file", "secret_key_file", "session_token_file")
_REFERENCE = "see docs/configuration.md"

Bucket = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9._-]{0,255}\Z", description="the name of a bucket")
]
Prefix = Annotated[
    str,
    Meta(
        pattern=r"\A([A-Za-z0-9_=.-]{1,128}(/[A-Za-z0-9_=.-]{1,128}){0,15})?\Z",
        description="names of A-Z, a-z, 0-9, _, =, . and -, with slashes between",
    ),
]
Endpoint = Annotated[
    str,
    Meta(pattern=r"\A(https?://[^\s/?#]{1,512})?/?\Z", description="an http:// or https:// URL"),
]


class StoreEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[stores]]``: one place for sealed files."""

    # Unique; 1 to 64 of A-Z, a-z, 0-9, _ and -; neither "local" nor "default".
    name: Name
    kind: Literal["directory", "s3"]
    # Whether it takes what is mined of connections that name no store. One at most.
    default: bool = False
    # Of kind "directory": where. Relative to the directory of the file.
    path: str = ""
    # Of kind "s3": the bucket, and what all names in it begin with.
    bucket: Bucket = ""
    prefix: Prefix = ""
    # URL of the service; empty: Amazon's.
    endpoint: Endpoint = ""
    region: str = "us-east-1"
    # Where the credentials are found, one of each pair; none: the machine's own role.
    access_key_env: Variable | None = None
    access_key_file: FilePath | None = None
    secret_key_env: Variable | None = None
    secret_key_file: FilePath | None = None
    session_token_env: Variable | None = None
    session_token_file: FilePath | None = None
    # Allows http:// beyond loopback: records then travel as plain text.
    insecure: bool = False
    # Seconds that a request may take (0.5 to 600), and for which one is repeated (0 to 280).
    request_timeout_s: Annotated[float, Meta(ge=0.5, le=600)] = 30.0
    retry_s: Annotated[float, Meta(ge=0, le=280)] = 20.0
    # Bytes of what was read that stay on the disk of this machine. Up to 1 PiB; 0: none.
    cache_bytes_max: Annotated[int, Meta(ge=0, le=1 << 50)] = 8 * GIB
    # Bytes that the service keeps there; see store.bytes_max. Not set: no budget. 1 MiB to 1 PiB.
    bytes_max: Annotated[int, Meta(ge=1 << 20, le=1 << 50)] | None = None

    @property
    def location(self) -> str:
        """Where it is, for people."""
        if self.kind == "directory":
            return self.path
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def check_stores(
    stores: Collection[StoreEntry], connections: Collection[ConnectionConfig], source: str
) -> None:
    """What the types do not say of stores, and of connections that name them.

    Raises:
        InvalidConfig: A field is wrong; the message names the source, the field and what to do.
    """
    names: set[str] = set()
    default = ""
    for index, store in enumerate(stores):
        field = f"stores[{index}]"
        check_store(store, source, field)
        if store.name in names:
            problem = f"{store.name!r} is the name of another store"
            raise setting_error(source, f"{field}.name", problem, "choose a name of its own")
        if store.default and default:
            advice = "one of them can be"
            raise setting_error(source, f"{field}.default", f"so is {default!r}", advice)
        names.add(store.name)
        default = store.name if store.default else default
    for index, connection in enumerate(connections):
        check_store_of(connection, stores, source, f"connections[{index}]")


def check_store(store: StoreEntry, source: str, field: str) -> None:
    """What the types do not say of one store.

    Raises:
        InvalidConfig: As said.
    """
    for name, problem, advice in _contradictions(store):
        raise setting_error(source, inside(field, name), problem, advice)


def parse_store(tree: Any, source: str, field: str = "", *, strict: bool = True) -> StoreEntry:
    """JSON types as a store that is right in itself.

    Args:
        tree: What ``store_dict`` makes.
        source: Where it comes from, for messages: a file, a call.
        field: The path of the store; may be empty.
        strict: Whether text may not stand for numbers and booleans.

    Raises:
        InvalidConfig: A field is unknown, missing, wrong, or a path that is relative.
    """
    try:
        store = msgspec.convert(tree, StoreEntry, strict=strict)
    except msgspec.ValidationError as error:
        paths = setting_paths_of_store(field)
        raise located_error(
            error, source, StoreEntry, lambda _: paths, lambda _: _REFERENCE, field
        ) from error
    check_store(store, source, field)
    for name in _PATHS:
        path = getattr(store, name)
        if path and not os.path.isabs(path):
            problem, advice = "is a relative path", "give an absolute one, on the service's machine"
            raise setting_error(source, inside(field, name), problem, advice)
    return store


def setting_paths_of_store(field: str) -> list[str]:
    """The paths of all settings of a store whose own path is ``field``."""
    return [path for path, _ in setting_paths(StoreEntry, f"{field}." if field else "")]


def store_dict(store: StoreEntry) -> dict[str, Any]:
    """As JSON types, defaults included; what is not set is left out."""
    tree: dict[str, Any] = msgspec.to_builtins(store)
    return {name: value for name, value in tree.items() if value is not None}


def check_store_of(
    connection: ConnectionConfig, stores: Collection[StoreEntry], source: str, field: str
) -> None:
    """Refuses a connection that names a store which is not there.

    Raises:
        InvalidConfig: As said.
    """
    known = [DEFAULT_STORE, LOCAL_STORE, *(store.name for store in stores)]
    if connection.store not in known:
        problem = f"there is no store {connection.store!r}"
        advice = f"give one of {', '.join(map(repr, known))}"
        raise setting_error(source, inside(field, "store"), problem, advice)


def default_store(stores: Collection[StoreEntry]) -> str:
    """The name of the store that takes what no other one is named for."""
    return next((store.name for store in stores if store.default), LOCAL_STORE)


def store_of(connection: ConnectionConfig, stores: Collection[StoreEntry]) -> str:
    """The name of the store that takes what is mined of a connection."""
    return default_store(stores) if connection.store == DEFAULT_STORE else connection.store


def budgets(local_bytes_max: int | None, stores: Collection[StoreEntry]) -> Mapping[str, int]:
    """Bytes that each store may hold, by name; those without a budget are left out."""
    found = {LOCAL_STORE: local_bytes_max, **{store.name: store.bytes_max for store in stores}}
    return {name: bytes_max for name, bytes_max in found.items() if bytes_max is not None}


def make_store_absolute(tree: dict[str, Any], directory: Path) -> None:
    """Resolves the paths of one store against a directory, in place; see ``connection``."""
    for name in _PATHS:
        path = tree.get(name)
        if isinstance(path, str) and path:
            tree[name] = os.path.abspath(directory / path)


def _contradictions(store: StoreEntry) -> Iterator[tuple[str, str, str]]:
    """Field, problem and advice of everything that does not fit together."""
    if store.name in _RESERVED:
        yield "name", f"{store.name!r} has a meaning of its own", "choose another name"
    wanted = "path" if store.kind == "directory" else "bucket"
    if not getattr(store, wanted):
        yield wanted, "is missing", f"a store of kind {store.kind!r} needs it"
    foreign = ("bucket", "prefix", "endpoint") if store.kind == "directory" else ("path",)
    for name in foreign:
        if getattr(store, name):
            yield name, f"has no meaning for kind {store.kind!r}", "leave it out"
    for name in ("access_key", "secret_key", "session_token"):
        if _is_given(store, f"{name}_env") and _is_given(store, f"{name}_file"):
            yield f"{name}_file", f"contradicts {name}_env", "leave out one of them"
    if _has(store, "access_key") != _has(store, "secret_key"):
        missing = "secret_key" if _has(store, "access_key") else "access_key"
        yield f"{missing}_env", "is missing", f"give it or {missing}_file: they come in pairs"
    if store.kind == "s3" and not store.insecure and _is_open(store.endpoint):
        problem = f"{store.endpoint} is beyond loopback without TLS"
        yield "endpoint", problem, "give an https:// URL, or accept it with insecure = true"


def _is_given(store: StoreEntry, field: str) -> bool:
    return getattr(store, field) is not None


def _has(store: StoreEntry, secret: str) -> bool:
    return _is_given(store, f"{secret}_env") or _is_given(store, f"{secret}_file")


def _is_open(endpoint: str) -> bool:
    host = endpoint.removeprefix("http://").rstrip("/")
    if host == endpoint.rstrip("/"):
        return False
    return host.rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]") and host not in (
        "127.0.0.1",
        "localhost",
        "[::1]",
    )
