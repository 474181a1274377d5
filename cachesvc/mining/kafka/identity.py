"""Which cluster is meant, and which addresses turned out to lead to another one. No I/O."""

from collections.abc import Collection

from cachesvc.mining.kafka.failures import Attempt
from cachesvc.policy.cluster_identity import ForeignAddress, is_foreign, source_changed

Address = tuple[str, int]


class Identity:
    """What brokers are held against.

    Attributes:
        cluster_id: Of the cluster that is meant; empty while any will do.
    """

    def __init__(self) -> None:
        self.cluster_id = ""
        self._ruled_out: set[str] = set()
        self._foreign: dict[Address, str] = {}

    def expect(self, cluster_id: str) -> None:
        """Has brokers of this cluster alone believed from now on; of any with an empty id."""
        if cluster_id == self.cluster_id:
            return
        self.cluster_id = cluster_id
        self._ruled_out.clear()
        self._foreign = {at: told for at, told in self._foreign.items() if self._refuses(told)}

    def rule_out(self, cluster_id: str) -> None:
        """Has any cluster believed but this one, and those that were ruled out before."""
        self.cluster_id = ""
        self._ruled_out.add(cluster_id)

    def check(self, host: str, port: int, told: str) -> None:
        """Holds what a broker tells against what is meant, and remembers the outcome.

        Raises:
            SourceChanged: It is of another cluster.
        """
        if not self._refuses(told):
            self._foreign.pop((host, port), None)
            return
        self._foreign[host, port] = told
        foreign = ForeignAddress(Attempt(host, port).address, told)
        raise source_changed(foreign, self.cluster_id, host, port)

    def forget(self, host: str, port: int) -> None:
        """Nobody answers there now."""
        self._foreign.pop((host, port), None)

    def foreign(self, addresses: Collection[Address]) -> tuple[ForeignAddress, ...]:
        """Those of some addresses that lead elsewhere, ordered."""
        found = [(at, told) for at, told in self._foreign.items() if at in addresses]
        return tuple(sorted(ForeignAddress(Attempt(*at).address, told) for at, told in found))

    def _refuses(self, told: str) -> bool:
        return told in self._ruled_out or is_foreign(self.cluster_id, told)
