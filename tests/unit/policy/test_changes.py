from cachesvc.policy.changes import is_change
from cachesvc.v1 import admin_pb2, log_cache_pb2

NO_CHANGES = {
    "Commit",
    "DescribeModel",
    "GetCaller",
    "GetConfig",
    "GetConnection",
    "GetOverview",
    "GetStore",
    "GetSubscription",
    "GetSubscriptionTrend",
    "GetTopicTrend",
    "GetTrend",
    "RunSql",
    "Subscribe",
    "TestConnection",
    "TestFilter",
    "TestStore",
    "WatchMining",
}


def test_every_public_call_is_decided() -> None:
    """A new call has to be named here if it leaves no trace."""
    services = (
        admin_pb2.DESCRIPTOR.services_by_name["Admin"],
        log_cache_pb2.DESCRIPTOR.services_by_name["LogCache"],
    )
    names = {method.name for service in services for method in service.methods}
    silent = {name for name in names if not is_change(name) and not name.startswith("List")}
    assert silent == NO_CHANGES


def test_a_call_that_nobody_thought_of_leaves_a_trace() -> None:
    assert is_change("RevokeToken")
    assert is_change("")
