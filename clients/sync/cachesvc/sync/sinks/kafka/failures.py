"""Errors of the Kafka adapter as those of a sink."""

from collections.abc import Iterator
from contextlib import contextmanager

from cachesvc.errors import CacheError, ConnectionUnusable, SourceUnreachable
from cachesvc.sync.errors import TargetFailed, TargetUnavailable

_UNREACHABLE = SourceUnreachable.default_reason


@contextmanager
def as_target_errors() -> Iterator[None]:
    """Raises what the adapter raises as the target's; reasons stay what they are."""
    try:
        yield
    except ConnectionUnusable as error:
        raise TargetFailed(str(error), reason=error.reason, metadata=error.metadata) from error
    except SourceUnreachable as error:
        reason = None if error.reason == _UNREACHABLE else error.reason
        raise TargetUnavailable(str(error), reason=reason, metadata=error.metadata) from error
    except CacheError as error:
        raise TargetFailed(str(error), reason=error.reason, metadata=error.metadata) from error
