"""``[callers]``: how much of the service one caller may have."""

from typing import Annotated

from msgspec import Meta, Struct

from cachesvc.settings.bounds import GIB, KIB, MIB


class CallersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[callers]``: bounds of each principal; of each address where access control is off.

    Callers on the store's Unix socket, which only the service's user may open, have none.
    """

    # Streams open at a time. 1 to 1,000,000.
    streams_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    # Calls a second, of any kind; a request counts as one for each 64 KiB that it begins. 1 to
    # 1,000,000.
    calls_per_s_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    # Bytes a second of messages, sent and received: a stream that is over it is slowed down. Not
    # set: any. 64 KiB to 1 TiB.
    bytes_per_s_max: Annotated[int, Meta(ge=64 * KIB, le=1024 * GIB)] | None = None
    # Subscriptions that it has made and that are there. 1 to 10 million.
    subscriptions_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    # Bytes of a request. 64 KiB to 256 MiB.
    request_bytes_max: Annotated[int, Meta(ge=64 * KIB, le=256 * MIB)] = MIB
    # Answers a second to those of one address who show nothing valid, where access control is on,
    # or call methods that nobody has; more are kept back, for ten seconds at most. 1 to 1,000,000.
    unknown_per_s_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    # Calls under way on one connection, streams among them; a client has more of them wait. Who
    # goes on sending while they are refused is hung up on. 10 to 1,000,000.
    connection_calls_max: Annotated[int, Meta(ge=10, le=1_000_000)] = 1_000
    # Connections that each listener has open, over all callers; more are closed at once. Not set:
    # half of the descriptors that the process may have. 16 to 1,000,000.
    connections_max: Annotated[int, Meta(ge=16, le=1_000_000)] | None = None
