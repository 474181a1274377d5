from dataclasses import replace

from cachesvc.mining.reports import PartitionReport
from cachesvc.mining.source import SourcePartition
from cachesvc.mining.telling import REPORTS_PER_ROUND, Telling
from cachesvc.model import MiningState

A = PartitionReport(SourcePartition("a", 0), 1, 10, MiningState.MINING, "")
B = PartitionReport(SourcePartition("b", 0), 1, 20, MiningState.MINING, "")
MANY = [replace(A, partition=SourcePartition("many", number)) for number in range(600)]


def told(*reports: PartitionReport) -> Telling:
    telling = Telling()
    for report in reports:
        telling.note(report)
    telling.take()
    return telling


def test_a_new_partition_is_told_at_once() -> None:
    telling = Telling()
    telling.note(A)
    assert telling.urgent
    assert telling.take() == [A]
    assert not telling.urgent


def test_only_news_is_told_but_for_a_small_part_of_the_rest() -> None:
    telling = told(*MANY)
    news = replace(MANY[300], high_watermark=11)
    telling.note(news)
    telling.note(MANY[301])
    due = telling.take()
    assert due[0] == news
    assert len(due) <= 1 + len(MANY) // REPORTS_PER_ROUND + 1


def test_everything_is_told_again_in_a_round() -> None:
    telling = told(*MANY)
    seen = [report for _ in range(REPORTS_PER_ROUND) for report in telling.take()]
    assert {report.partition for report in seen} == {report.partition for report in MANY}


def test_how_far_a_source_is_has_time_and_a_state_has_not() -> None:
    telling = told(A, B)
    telling.note(replace(A, high_watermark=11))
    assert not telling.urgent
    telling.note(replace(B, state=MiningState.BLOCKED, error="at 3"))
    assert telling.urgent


def test_what_is_as_it_was_told_need_not_be_told() -> None:
    telling = told(*MANY)
    telling.note(replace(MANY[599], high_watermark=11))
    telling.note(MANY[599])
    assert MANY[599] not in telling.take()


def test_what_is_forgotten_is_told_no_more() -> None:
    telling = told(A, B)
    telling.note(replace(A, high_watermark=11))
    telling.forget(A.partition)
    telling.forget(A.partition)
    for _ in range(5):
        assert telling.take() == [B]


def test_everything_again_with_the_newest_of_each() -> None:
    telling = told(A, B)
    newer = replace(B, high_watermark=21)
    telling.note(newer)
    telling.again()
    assert telling.urgent
    assert sorted(telling.take(), key=lambda r: r.partition) == [A, newer]


def test_what_the_service_has_to_settle_is_told_until_it_is() -> None:
    problem = replace(MANY[0], problem="TOPIC_RECREATED")
    telling = told(problem, *MANY[1:])
    for _ in range(5):
        assert problem in telling.take()
    telling.note(MANY[0])
    assert MANY[0] in telling.take()
    assert MANY[0] not in telling.take()
