"""What Kafka can promise for each acknowledgement, and whether a topic allows it.

Kafka has three: no answer, the leader's, and that of every replica that is in sync at that moment.
How few those may be, the topic's ``min.insync.replicas`` says; below it the leader takes nothing.
So "most" is the last of the three, with a topic whose ``min.insync.replicas`` is most of its
replicas. (More than all of them means all of them to newer brokers, and to older ones that nothing
can be written, which they say at once.)
"""


def most_of(replicas: int) -> int:
    """The smallest number of replicas that is most of them."""
    return replicas // 2 + 1


def acks_problem(acks: str, replicas: int, min_in_sync: int | None) -> str:
    """Why a topic does not give what an acknowledgement promises; empty if it does.

    Args:
        acks: ``none``, ``leader``, ``majority`` or ``all``.
        replicas: How many copies the topic has.
        min_in_sync: Its ``min.insync.replicas``; None where one may not look, which is no problem.
    """
    if acks != "majority" or min_in_sync is None or min_in_sync >= most_of(replicas):
        return ""
    return (
        f"min.insync.replicas is {min_in_sync} of {replicas} replicas, so fewer than most of "
        f"them may confirm; set it to {most_of(replicas)} for the topic, or choose acks = "
        '"all" (whichever are in sync) or "leader"'
    )


def acks_promise(acks: str, replicas: int, min_in_sync: int | None) -> str:
    """What a confirmation means, for people."""
    if acks == "none":
        return "nothing is confirmed: what a broker does not take is lost without a word"
    if acks == "leader":
        return "confirmed by the leader alone: lost if it dies before others have copied it"
    if min_in_sync is None:
        return "confirmed by all in-sync replicas; how few those may be cannot be seen here"
    if replicas == 1:
        return "confirmed by the one replica there is"
    return f"confirmed by all in-sync replicas, at least {min_in_sync} of {replicas}"
