"""Errors of the adapter as findings."""

from cachesvc.errors import CacheError
from cachesvc.policy.connection_checks import Finding, failed


def finding_of(address: str, error: CacheError) -> Finding:
    """What an error says, cut into what is wrong and what to do; it may begin with the address."""
    text = str(error).removeprefix(f"{address}: ")
    detail, _, hint = text.partition("; ")
    return failed(detail, hint or "see the broker's log", reason=error.reason)
