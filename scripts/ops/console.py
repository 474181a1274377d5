"""What the scripts here share: options, the service, tables and JSON, exit codes.

They need Python 3.11 and the client (`pip install ./clients/python`) and nothing else, unless they
say so. Exit codes: 0 all is well; 1 it is not, or the script failed; 2 wrong usage; 3 the service
cannot be reached; 4 what was named does not exist; 5 refused; 130 interrupted, 143 ended by
SIGTERM; both clean up as any other end does.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import grpc
from grpc import aio

from cachesvc.client import (
    AccessDenied,
    Client,
    ClientError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Superseded,
    Tls,
    Unavailable,
)
from cachesvc.v1 import connections_pb2
from cachesvc.v1.admin_pb2_grpc import AdminStub
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub

WELL, UNWELL, USAGE, UNREACHABLE, UNKNOWN, REFUSED = range(6)
INTERRUPTED, TERMINATED = 130, 143
_TOKEN_VARIABLE = "CACHESVC_TOKEN"
Row = Mapping[str, object]
_BY_ERROR: Mapping[type[ClientError], int] = {
    InvalidRequest: USAGE,
    Unavailable: UNREACHABLE,
    NotFound: UNKNOWN,
    PreconditionFailed: REFUSED,
    Superseded: REFUSED,
    AccessDenied: REFUSED,
}
_BY_CODE: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNREACHABLE,
    grpc.StatusCode.NOT_FOUND: UNKNOWN,
    grpc.StatusCode.FAILED_PRECONDITION: REFUSED,
    grpc.StatusCode.ABORTED: REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: REFUSED,
    grpc.StatusCode.UNAUTHENTICATED: REFUSED,
}


class ScriptFailed(Exception):
    """The script cannot do what it was asked; the text is for the operator."""

    def __init__(self, what: str, code: int = UNWELL) -> None:
        super().__init__(what)
        self.code = code


def parser(purpose: str | None) -> argparse.ArgumentParser:
    """The options that all scripts have; ``purpose`` is the script's docstring."""
    summary, _, rest = (purpose or "").partition("\n")
    found = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    address = os.environ.get("CACHESVC_ADDRESS") or "127.0.0.1:7070"
    found.add_argument(
        "--address",
        metavar="HOST:PORT",
        default=address,
        help="where the service listens; CACHESVC_ADDRESS, else 127.0.0.1:7070",
    )
    found.add_argument("--ca-file", metavar="FILE", help="speak TLS, and trust these certificates")
    found.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help=f"show the token in this file; {_TOKEN_VARIABLE} has one otherwise",
    )
    found.add_argument("--json", action="store_true", help="print JSON, for programs")
    return found


class _ShowsToken(aio.UnaryUnaryClientInterceptor):
    """Shows a token with every call."""

    def __init__(self, token: str) -> None:
        self._metadata = ("authorization", f"Bearer {token}")

    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Goes on with the token among what is shown."""
        return await continuation(self.shown(client_call_details), request)

    def shown(self, details: Any) -> Any:
        """A call with the token."""
        metadata = aio.Metadata(*(details.metadata or ()), self._metadata)
        return details._replace(metadata=metadata)


class _ShowsTokenForStreams(aio.UnaryStreamClientInterceptor):
    """The same for calls that answer with a stream: gRPC takes one kind per object."""

    def __init__(self, token: str) -> None:
        self._token = _ShowsToken(token)

    async def intercept_unary_stream(
        self,
        continuation: Callable[[aio.ClientCallDetails, Any], Any],
        client_call_details: aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """See ``_ShowsToken``."""
        return await continuation(self._token.shown(client_call_details), request)


@dataclass(frozen=True, slots=True)
class Service:
    """A service: the client, and the calls that it does not have, as in proto/."""

    client: Client
    admin: AdminStub
    log_cache: LogCacheStub


@asynccontextmanager
async def service(options: argparse.Namespace) -> AsyncIterator[Service]:
    """The service that the options name."""
    tls, credentials = None, None
    if options.ca_file is not None:
        tls = Tls(ca_file=options.ca_file)
        trusted = await asyncio.to_thread(Path(options.ca_file).read_bytes)
        credentials = grpc.ssl_channel_credentials(trusted)
    token = await asyncio.to_thread(_token, options.token_file)
    shown = [] if token is None else [_ShowsToken(token), _ShowsTokenForStreams(token)]
    channel = (
        aio.insecure_channel(options.address, interceptors=shown)
        if credentials is None
        else aio.secure_channel(options.address, credentials, interceptors=shown)
    )
    async with Client(options.address, tls=tls, token=token) as client, channel:
        yield Service(client, AdminStub(channel), LogCacheStub(channel))


def _token(file: Path | None) -> str | None:
    """The token of a file, or of the environment; None where nobody asks for one."""
    if file is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    token = file.read_text(encoding="utf-8").strip()
    if not token:
        raise ScriptFailed(f"{file} has no token", USAGE)
    return token


def time_of(text: str) -> datetime:
    """A time that an option names, in UTC unless it says otherwise; ValueError for no time."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


async def connection(found: Service, name: str) -> connections_pb2.Connection:
    """The connection of that name, or the only one.

    Raises:
        ScriptFailed: There is none, or there are several.
    """
    request = connections_pb2.ListConnectionsRequest()
    answer: connections_pb2.ListConnectionsResponse = await found.admin.ListConnections(request)
    every = answer.connections
    named = [each for each in every if name in ("", each.name)]
    if len(named) != 1:
        code, names = (UNKNOWN if name else USAGE), ", ".join(each.name for each in every)
        raise ScriptFailed(f"give --connection, one of: {names}", code)
    return named[0]


def run(main: Callable[[Any], Coroutine[Any, Any, int]], options: argparse.Namespace) -> NoReturn:
    """Runs a script and ends the process with its exit code."""
    try:
        code = asyncio.run(_cancelled_by_sigterm(main(options)))
        sys.stdout.flush()
    except ScriptFailed as failure:
        code = _fail(str(failure), failure.code)
    except ClientError as error:
        found = (code for kind, code in _BY_ERROR.items() if isinstance(error, kind))
        code = _fail(f"{error} ({options.address}, {error.reason})", next(found, UNWELL))
    except aio.AioRpcError as error:
        code = _fail(f"{error.details()} ({options.address})", _BY_CODE.get(error.code(), UNWELL))
    except BrokenPipeError:  # whoever reads the output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = UNWELL
    except OSError as error:
        code = _fail(str(error), UNWELL)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except asyncio.CancelledError:
        code = TERMINATED
    sys.exit(code)


async def _cancelled_by_sigterm(work: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _fail(what: str, code: int) -> int:
    print(f"error: {what}", file=sys.stderr)
    return code


def say(what: str) -> None:
    """A remark on stderr, where results do not go."""
    print(what, file=sys.stderr, flush=True)


def progress(done: int, total: int) -> None:
    """How far a script is, on stderr where that is a terminal; nothing is left of it at the end."""
    if sys.stderr.isatty():
        left = "" if done >= total else f"{done:,} of {total:,}"
        print(f"\r\033[K{left}", end="", file=sys.stderr, flush=True)


def show(rows: Sequence[Row], as_json: bool, nothing: str) -> None:
    """Prints rows as one JSON array or as a table; ``nothing`` on stderr where there are none.

    The ends of names are units: ``_ms`` is a time, ``_s`` a duration, ``_bytes`` a size.
    """
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        say(nothing)
        return
    lines = [[_title(name) for name in rows[0]]]
    lines += [[_cell(name, value) for name, value in row.items()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = [isinstance(value, int | float) for value in rows[0].values()]
    for line in lines:
        cells = zip(line, widths, numbers, strict=True)
        print("  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in cells).rstrip())


def _title(name: str) -> str:
    return name.removesuffix("_ms").removesuffix("_s").replace("_", " ").upper()


def _cell(name: str, value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith("_ms"):
            return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        case int() if name.endswith("_bytes"):
            return (
                f"{value / 1024:,.1f} KiB" if value < 1 << 20 else f"{value / (1 << 20):,.1f} MiB"
            )
        case int():
            return f"{value:,}"
        case float() if name.endswith("_s"):
            return f"{value:,.1f} s"
        case float():
            return f"{value:,.1f}"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value).replace("\n", " ")
