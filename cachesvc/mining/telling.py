"""What a reader has yet to tell the service about partitions. No I/O.

A service may have many thousands of quiet partitions, so only news is told. Everything is told
again after every assignment, because the service may have changed its own mind about a state, and
little by little all the time, so that whatever it missed or forgot is mended by itself.
"""

from collections.abc import Callable

from cachesvc.mining.holdings import HeldPartition, Holdings
from cachesvc.mining.reports import PartitionReport
from cachesvc.mining.source import SourcePartition, SourceReader

REPORTS_PER_ROUND = 300
"""So many times something is due until everything was told again."""


class Telling:
    """Reports that were told, and those that are due.

    Invariant: whatever was noted last of a partition and not forgotten was told, or is due.
    """

    def __init__(self) -> None:
        self._told: dict[SourcePartition, PartitionReport] = {}
        self._due: dict[SourcePartition, PartitionReport] = {}
        self._unsettled: set[SourcePartition] = set()
        self._urgent = False

    @property
    def urgent(self) -> bool:
        """Whether a state or its reason is due, and not only how far a source is."""
        return self._urgent

    def note(self, report: PartitionReport) -> None:
        """Takes the present report of a partition."""
        partition = report.partition
        before = self._told.get(partition)
        if report == before:
            self._due.pop(partition, None)
            return
        self._due[partition] = report
        if before is None or (before.state, before.error) != (report.state, report.error):
            self._urgent = True

    def forget(self, partition: SourcePartition) -> None:
        """There is nothing more to be told of a partition. Idempotent."""
        self._told.pop(partition, None)
        self._due.pop(partition, None)
        self._unsettled.discard(partition)

    def again(self) -> None:
        """Lets everything be due."""
        self._due = {**self._told, **self._due}
        self._told.clear()
        self._urgent = self._urgent or bool(self._due)

    def take(self) -> list[PartitionReport]:
        """What is due, which counts as told from now on.

        A problem that only the service can settle is told every time until it is over.
        """
        due, self._due, self._urgent = self._due, {}, False
        for partition in self._unsettled - due.keys():
            due[partition] = self._told[partition]
        for partition in self._oldest(len(self._told) // REPORTS_PER_ROUND + 1):
            due.setdefault(partition, self._told[partition])
        for partition, report in due.items():
            self._told.pop(partition, None)  # the newest are last
            self._told[partition] = report
            if report.problem:
                self._unsettled.add(partition)
            else:
                self._unsettled.discard(partition)
        return list(due.values())

    def _oldest(self, count: int) -> list[SourcePartition]:
        return [partition for partition, _ in zip(self._told, range(count), strict=False)]


class News:
    """Finds out what there is to be told of the partitions that a reader holds.

    Args:
        holdings: What it holds.
        source: Says what is new there.
        report: The present report of a partition.

    Attributes:
        telling: What comes of it.
    """

    def __init__(
        self,
        holdings: Holdings,
        source: SourceReader,
        report: Callable[[HeldPartition], PartitionReport],
    ) -> None:
        self._holdings = holdings
        self._source = source
        self._report = report
        self._changed: set[SourcePartition] = set()
        self._lossy: set[SourcePartition] = set()
        self._source_error = ""
        self.telling = Telling()

    def changed(self, partition: SourcePartition) -> None:
        """Something is new about a partition that the source does not know of."""
        self._changed.add(partition)

    def look(self) -> None:
        """Takes note of all that is new."""
        if self._source.error != self._source_error:
            self._source_error = self._source.error
            self._changed.update(held.partition for held in self._holdings)
            self.telling.again()
        changed, self._changed = {*self._changed, *self._source.news()}, set()
        for partition in changed:
            held = self._holdings.get(partition)
            if held is None:
                self.telling.forget(partition)
                continue
            self.telling.note(self._report(held))
            problem = self._source.status(partition).problem
            if problem is not None and problem.resume_offset is not None:
                self._lossy.add(partition)

    def take_lossy(self) -> list[HeldPartition]:
        """Partitions of which the source has deleted something; each once, in their order."""
        lossy, self._lossy = self._lossy, set()
        return [held for each in sorted(lossy) if (held := self._holdings.get(each)) is not None]
