"""Which member of a shared subscription reads which partition.

Invariant: every partition has exactly one member, as long as there is a member at all, and the
numbers of two members' partitions differ by one at most. Among all outcomes of that kind it is one
that takes the fewest partitions from members that have them; sharing again without a change moves
nothing. The order of no argument counts.
"""

from collections.abc import Collection, Mapping

PartitionName = tuple[str, int]
"""Topic and partition number."""


def share(
    partitions: Collection[PartitionName],
    members: Collection[str],
    current: Mapping[PartitionName, str],
) -> dict[PartitionName, str]:
    """Spreads partitions over members.

    Args:
        partitions: All there are.
        members: The names of those that may have some.
        current: Who has which now; those of others count as nobody's.

    Returns:
        Every partition with its member; empty without members.
    """
    if not members:
        return {}
    held: dict[str, list[PartitionName]] = {member: [] for member in sorted(members)}
    free = []
    for partition in sorted(partitions):
        member = current.get(partition)
        if member in held:
            held[member].append(partition)
        else:
            free.append(partition)
    few, larger = divmod(len(partitions), len(held))
    # Who has most keeps most, so that nothing moves which need not.
    for place, member in enumerate(sorted(held, key=lambda each: (-len(held[each]), each))):
        keeps = few + (place < larger)
        free += held[member][keeps:]
        del held[member][keeps:]
    return _with(held, sorted(free), few, larger)


def _with(
    held: Mapping[str, list[PartitionName]], free: list[PartitionName], few: int, larger: int
) -> dict[PartitionName, str]:
    """Gives what is free to those that have least."""
    places = larger - sum(len(each) > few for each in held.values())
    order = sorted(held, key=lambda each: (len(held[each]), each))
    for member in order:
        missing = few - len(held[member])
        held[member].extend(free[: max(missing, 0)])
        del free[: max(missing, 0)]
    for member in order:
        if places and free and len(held[member]) == few:
            held[member].append(free.pop(0))
            places -= 1
    return {partition: member for member, each in held.items() for partition in each}
