"""What answers to writes mean, over the wire and back; and the trial write."""

from io import BytesIO
from typing import Any

import pytest

from cachesvc.mining.kafka.producing.answers import Outcome, name_of, outcome_of
from cachesvc.mining.kafka.producing.requests import BatchesRequest, parse_answers
from cachesvc.mining.kafka.producing.trial import _corrupt
from cachesvc.mining.kafka.stored_batch import stored_batches

TOPICS = [("t", [(0, b"batch"), (7, b"")]), ("ü", [(1, b"other")])]


def spoken(newest: int) -> Any:
    """A request in the newest version that a broker knows."""
    return BatchesRequest(-1, 5, TOPICS, "id").prepare({0: (0, newest)})


@pytest.mark.parametrize(("newest", "version"), [(3, 3), (7, 7), (8, 8), (12, 8)])
@pytest.mark.parametrize("transactional_id", [None, "id"])
def test_the_body_is_that_of_every_version(
    newest: int, version: int, transactional_id: str | None
) -> None:
    kind = type(spoken(newest))
    assert version == kind.API_VERSION
    request = BatchesRequest(-1, 5, TOPICS, transactional_id)
    body = b"".join(request.pieces())
    assert body == kind(transactional_id, -1, 5, TOPICS).encode()


def test_newer_brokers_name_the_records_that_they_refuse() -> None:
    kind = spoken(8).RESPONSE_TYPE
    partitions = [
        (0, 0, 5, -1, 0, [], None),
        (1, 87, -1, -1, -1, [(3, "no key"), (4, None)], "two are wrong"),
    ]
    answers = parse_answers(kind.decode(BytesIO(kind([("t", partitions)], 0).encode())))
    assert answers["t", 0].outcome is Outcome.DONE
    assert answers["t", 1].outcome is Outcome.REFUSED
    assert answers["t", 1].records == {3: "no key", 4: ""}
    assert str(answers["t", 1]) == "InvalidRecord (two are wrong)"


def test_older_brokers_tell_a_number() -> None:
    kind = spoken(7).RESPONSE_TYPE
    response = kind([("t", [(0, 10, -1, -1, -1)])], 0)
    (answer,) = parse_answers(kind.decode(BytesIO(response.encode()))).values()
    assert (answer.outcome, answer.message, answer.records) == (Outcome.TOO_LARGE, "", {})


@pytest.mark.parametrize(
    ("error_code", "outcome"),
    [
        (0, Outcome.DONE),
        (46, Outcome.DONE),
        (6, Outcome.RETRY),
        (19, Outcome.RETRY),
        (51, Outcome.RETRY),
        (9_999, Outcome.RETRY),
        (45, Outcome.ANEW),
        (90, Outcome.FENCED),
        (29, Outcome.NOT_ALLOWED),
        (76, Outcome.IMPOSSIBLE),
    ],
)
def test_what_error_codes_mean(error_code: int, outcome: Outcome) -> None:
    assert outcome_of(error_code) is outcome
    assert name_of(90) == "ProducerFenced"


def test_nothing_but_the_checksum_of_a_trial_is_wrong() -> None:
    (batch,) = stored_batches(_corrupt())
    assert not batch.is_sound
    assert (batch.magic, batch.record_count, batch.base_offset) == (2, 1, 0)
