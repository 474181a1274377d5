"""Which cluster a connection means.

A Kafka cluster calls itself by an id that no other one has, and every broker tells it (KIP-78).
What was mined is of one cluster; what a broker of another one says has nothing to do with it,
whatever its topics are called.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cachesvc.errors import PreconditionFailed, SourceChanged


@dataclass(frozen=True, slots=True, order=True)
class ForeignAddress:
    """An address that leads to another cluster than the one that is meant.

    Attributes:
        address: HOST:PORT.
        cluster_id: What that cluster calls itself; empty if it tells no id.
    """

    address: str
    cluster_id: str

    def __str__(self) -> str:
        return f"{self.address} leads to {named(self.cluster_id)}"


def named(cluster_id: str) -> str:
    """A cluster, for people."""
    return f"cluster {cluster_id}" if cluster_id else "a cluster that tells no id"


def is_foreign(meant: str, told: str) -> bool:
    """Whether a broker is of another cluster; that no id is told counts as another.

    Args:
        meant: The id of the cluster that is meant; empty while none is known.
        told: The one that the broker tells; empty if it tells none.
    """
    return bool(meant) and told != meant


def are_others(known: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether a cluster's topics are others than those that were mined.

    One id that is the same shows the cluster to be the same. Topics that were created again have
    other ids, so several that differ show another cluster only if none is the same.

    Args:
        known: The ids of topics that were mined, by name, of those that have one.
        found: The ids of topics that the cluster has, by name; empty where it has no such ids.
    """
    both = [topic for topic in known if known[topic] and found.get(topic)]
    return bool(both) and all(known[topic] != found[topic] for topic in both)


def to_accept(meant: str, found: Mapping[str, str], wanted: str) -> str:
    """The cluster that an operator accepts.

    Args:
        meant: The present one; empty while none is known.
        found: The cluster of each address that answers; at least one.
        wanted: The one that the operator names; empty if none is named.

    Raises:
        PreconditionFailed: ``CLUSTER_AMBIGUOUS``, ``CLUSTER_NOT_FOUND`` or ``CLUSTER_WITHOUT_ID``.
    """
    where = "; ".join(str(ForeignAddress(*each)) for each in sorted(found.items()))
    told = set(found.values())
    if wanted and wanted not in told:
        raise PreconditionFailed(
            f"no address leads to cluster {wanted}: {where}", reason="CLUSTER_NOT_FOUND"
        )
    if wanted:
        return wanted
    if len(told) > 1:
        raise PreconditionFailed(
            f"the addresses lead to several clusters: {where}; name the one to accept, or correct "
            "bootstrap_servers",
            reason="CLUSTER_AMBIGUOUS",
        )
    (only,) = told
    if not only and meant:
        raise PreconditionFailed(
            f"the cluster tells no id, so that nobody can tell it from others: {where}; make "
            "another connection for it",
            reason="CLUSTER_WITHOUT_ID",
        )
    return only


def source_changed(foreign: ForeignAddress, meant: str, host: str, port: int) -> SourceChanged:
    """The error of a broker that is of another cluster."""
    if meant:
        text = f"{foreign.address}: {named(foreign.cluster_id)} answers there, and what was mined "
        text += f"is of cluster {meant}"
    else:
        text = f"{foreign.address}: {named(foreign.cluster_id)} answers there, whose topics are "
        text += "others than those that were mined"
    text += "; correct bootstrap_servers, or accept that one (cachesvc connection accept)"
    found = {"found_cluster_id": foreign.cluster_id, "cluster_id": meant}
    return SourceChanged(text, metadata={"host": host, "port": port, **found})
