"""Figures of serving: what is sent to whom, how far subscriptions are, which calls there are."""

from cachesvc.subscriptions.subscriptions import Subscription
from cachesvc.web.families import (
    Bounded,
    Family,
    HistogramFamily,
    HistogramSample,
    Kind,
    Rows,
    Told,
    gauge,
)
from cachesvc.web.observed import Observed

_TOPIC = ("connection", "topic")
_SUBSCRIPTION = ("connection", "subscription")
_METHOD = ("service", "method")
_SERIOUS = ("INTERNAL", "UNKNOWN", "DATA_LOSS")


def serving_metrics(observed: Observed, topics: Bounded, subscriptions: Bounded) -> Told:
    """All of them."""
    yield from _delivered(observed, topics)
    yield from _subscriptions(observed, subscriptions)
    yield from _calls(observed)
    yield from _caches(observed)


def _delivered(observed: Observed, topics: Bounded) -> Told:
    records, sizes = Rows(), Rows()
    for topic, tally in observed.deliveries.by_topic.items():
        labels = topic.connection, topics.label(topic.connection, topic.topic)
        records.add(labels, tally.records)
        sizes.add(labels, tally.bytes)
    yield records.family(
        "cachesvc_delivered_records",
        Kind.COUNTER,
        "Records sent to subscribers since the service started.",
        _TOPIC,
    )
    yield sizes.family(
        "cachesvc_delivered_bytes",
        Kind.COUNTER,
        "Bytes of the batches that carried them.",
        _TOPIC,
    )
    yield HistogramFamily(
        "cachesvc_mined_to_sent_seconds",
        "From when a batch's newest record was mined until it was sent, to streams that had caught "
        "up.",
        (),
        [((), HistogramSample.of(observed.deliveries.ages))],
    )


def _subscriptions(observed: Observed, names: Bounded) -> Told:
    behind, connected, committed = Rows(), Rows(), Rows(max)
    streams = 0
    for subscription in observed.subscriptions.all():
        yield None
        record = subscription.record
        labels = record.connection, names.label(record.connection, record.name)
        behind.add(labels, _lag(observed, subscription))
        connected.add(labels, subscription.connected)
        if record.committed_ms:
            committed.add(labels, record.committed_ms / 1000)
        streams += subscription.streams
    yield gauge("cachesvc_streams", "Streams of subscribers that are open.", streams)
    yield behind.family(
        "cachesvc_subscription_lag_records",
        Kind.GAUGE,
        "Offsets that a subscription's stored positions are behind what is cached.",
        _SUBSCRIPTION,
    )
    yield connected.family(
        "cachesvc_subscription_connected",
        Kind.GAUGE,
        "1 while a subscription has an open stream.",
        _SUBSCRIPTION,
    )
    yield committed.family(
        "cachesvc_subscription_last_commit_timestamp_seconds",
        Kind.GAUGE,
        "When a position was last committed.",
        _SUBSCRIPTION,
    )


def _lag(observed: Observed, subscription: Subscription) -> int:
    get = observed.store.get
    logs = ((get(each), offset) for each, offset in subscription.positions.items())
    return sum(max(0, log.log_end_offset - offset) for log, offset in logs if log is not None)


def _calls(observed: Observed) -> Told:
    calls = observed.calls
    ended = Rows()
    for service, method, code in calls.ended:
        # Present before the first of them, so that it shows as an increase.
        for serious in _SERIOUS:
            ended.add((service, method, serious), 0)
        ended.add((service, method, code), calls.ended[service, method, code])
    yield ended.family(
        "cachesvc_grpc_calls",
        Kind.COUNTER,
        "gRPC calls that have ended, by method and status.",
        (*_METHOD, "code"),
    )
    yield Family(
        "cachesvc_unknown_callers",
        Kind.COUNTER,
        "Calls of callers whom nobody knows, or of methods that nobody has, by how they were "
        "answered: at once, kept back, or too many to be kept back.",
        ("answered",),
        [((answered,), count) for answered, count in sorted(calls.unknown_callers.items())],
    )
    yield Family(
        "cachesvc_connections_hung_up",
        Kind.COUNTER,
        "Connections that the service ended as they sent calls without waiting for answers.",
        (),
        [((), calls.hung_up)],
    )
    yield Family(
        "cachesvc_grpc_open_calls",
        Kind.GAUGE,
        "gRPC calls under way.",
        _METHOD,
        [(labels, count) for labels, count in sorted(calls.open.items())],
    )
    yield HistogramFamily(
        "cachesvc_grpc_call_seconds",
        "What calls took whose answer is a single message.",
        _METHOD,
        [(labels, HistogramSample.of(took)) for labels, took in sorted(calls.took.items())],
    )


def _caches(observed: Observed) -> Told:
    reader = observed.store.reader
    caches = {**reader.caches, **observed.caches}
    yield Family(
        "cachesvc_reads",
        Kind.COUNTER,
        "Reads for subscribers and jobs, by where the records lay.",
        ("place",),
        [((place,), count) for place, count in sorted(reader.reads.items())],
    )
    yield Family(
        "cachesvc_cache_requests",
        Kind.COUNTER,
        "Requests to the caches of what was read or made before, by whether it was there.",
        ("cache", "result"),
        [
            row
            for name, each in caches.items()
            for row in (((name, "hit"), each.hits), ((name, "miss"), each.misses))
        ],
    )
    yield Family(
        "cachesvc_cache_bytes",
        Kind.GAUGE,
        "Bytes in these caches.",
        ("cache",),
        [((name,), each.bytes) for name, each in caches.items()],
    )
