from pathlib import Path

import pytest

from cachesvc.sync import InvalidTask, load_task, parse_task
from cachesvc.sync.kinds import make_sink, make_transforms
from cachesvc.sync.parts import parts_of
from cachesvc.sync.sink import TaskContext
from cachesvc.sync.task_file import secret

WHOLE = """
name = "orders-to-files"
[source]
service = "127.0.0.1:7070"
topics = ["orders"]
mode = "FULL_AND_INCREMENTAL"
start = 2026-01-01T00:00:00Z
token_file = "token"
[[transforms]]
kind = "drop"
fields = ["secret"]
[sink]
kind = "jsonl"
directory = "out"
url = "http://127.0.0.1/"
[batch]
records_max = 7
[errors]
policy = "dead-letter"
dead_letters = "letters"
"""
LEAST = {
    "name": "t",
    "source": {"service": "127.0.0.1:7070", "topics": ["orders"], "mode": "FULL"},
}


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(WHOLE)
    task = load_task(path)
    assert task.sink["directory"] == str(tmp_path / "out")
    assert task.sink["url"] == "http://127.0.0.1/"
    assert task.errors.dead_letters == str(tmp_path / "letters")
    assert task.source.token_file == str(tmp_path / "token")
    assert task.source.start == "2026-01-01T00:00:00+00:00"
    assert (task.batch.records_max, task.subscription) == (7, "orders-to-files")


def test_columns_may_be_called_as_settings_are(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    columns = '[sink.columns]\npath = "string"\nkey_file = "string"\n'
    path.write_text(WHOLE.replace("[batch]", f"{columns}[batch]"))
    assert load_task(path).sink["columns"] == {"path": "string", "key_file": "string"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a b"}, "task: name: has to be 1 to 249 of letters, digits, dots"),
        ({"sorce": {}}, "task: sorce: there is no such setting; did you mean 'source'?"),
        ({"source": {"mode": "ALL"}}, "source.mode: there is no 'ALL'; there are: 'FULL', 'INC"),
        ({"errors": {"policy": "go"}}, "errors.policy: there is no 'go'; there are: 'stop', 'dea"),
        ({"source": {"service": None}}, "task: source.service: expected `str`, got `null`"),
        ({"source": {"service": "here"}}, "task: source.service: 'here' is not HOST:PORT"),
        ({"source": {"service": "a:99999"}}, "task: source.service: 'a:99999' is not HOST:PORT"),
        ({"source": {"tpics": []}}, "task: source.tpics: there is no such setting; did you mean"),
        ({"source": {"token": "x"}}, "a secret is never given here; name where it is found with"),
        ({"source": {"topic_expression": "a.*"}}, "source.topics: give exactly one of"),
        ({"source": {"topics": []}}, "source.topics: give exactly one of"),
        ({"source": {"start": "soon"}}, "source.start: 'soon' is neither earliest, latest nor"),
        ({"source": {"start": [{"topic": "a"}]}}, "source.start[0].partition: is missing"),
        ({"source": {"source": "auto"}}, "source.kafka: is needed with"),
        (
            {"source": {"source": "auto", "sharing": "shared", "kafka": {}}},
            'source.source: "auto" reads all partitions',
        ),
        ({"source": {"member": "one"}}, "source.member: has no meaning without"),
        (
            {"source": {"source": "auto", "kafka": {}}},
            "source.positions_file: is needed with source.source",
        ),
        (
            {"source": {"source": "auto", "filter": "exists(key)"}},
            'source.filter: contradicts source.source = "auto"',
        ),
        (
            {
                "source": {
                    "source": "auto",
                    "mode": "FULL",
                    "bootstrap": "snapshot",
                    "kafka": {},
                    "positions_file": "p",
                }
            },
            'source.bootstrap: contradicts source.source = "auto"',
        ),
        (
            {"source": {"mode": "INCREMENTAL", "bootstrap": "snapshot"}},
            'source.bootstrap: contradicts source.mode = "INCREMENTAL"',
        ),
        (
            {"source": {"mode": "FULL", "start": "earliest", "bootstrap": "snapshot"}},
            "source.bootstrap: contradicts source.start",
        ),
        (
            {"source": {"mode": "INCREMENTAL", "sharing": "shared", "bootstrap": "snapshot"}},
            'source.bootstrap: contradicts source.mode = "INCREMENTAL"',
        ),
        ({"source": {"bootstrap": "yes"}}, "source.bootstrap: "),
        ({"source": {"tls": {"x": 1}}}, "source.tls.x: there is no such setting"),
        ({"batch": {"records_max": 0}}, "batch.records_max: expected `int` >= 1"),
        ({"retry": {"delay_first_s": 60}}, "retry.delay_first_s: is above retry.delay_max_s"),
        ({"errors": {"policy": "dead-letter"}}, "errors.dead_letters: is missing"),
        ({"errors": {"dead_letters": "x"}}, "errors.dead_letters: nothing is kept there"),
        ({"errors": {"dead_letter_topic": "x"}}, "errors.dead_letter_topic: nothing is kept"),
        (
            {"errors": {"policy": "dead-letter", "dead_letters": "x", "dead_letter_topic": "x"}},
            "errors.dead_letter_topic: contradicts dead_letters",
        ),
    ],
)
def test_a_wrong_setting_is_named_by_its_path(change: dict[str, object], message: str) -> None:
    tree: dict[str, object] = dict(LEAST)
    for name, value in change.items():
        before = tree.get(name)
        tree[name] = (
            {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        )
    with pytest.raises(InvalidTask) as caught:
        parse_task(tree)
    assert message in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match=r"nowhere\.toml: cannot be read: No such file"):
        load_task(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(InvalidTask, match=r"bad\.toml: is no TOML"):
        load_task(tmp_path / "bad.toml")


def test_secrets_come_from_where_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "abc")
    (tmp_path / "token").write_text("def\n")
    assert secret("TOKEN", None, "task", "source.token") == "abc"
    assert secret(None, str(tmp_path / "token"), "task", "source.token") == "def"
    assert secret(None, None, "task", "source.token") is None
    with pytest.raises(InvalidTask, match=r"source\.token_env: the variable NOT_SET is not set"):
        secret("NOT_SET", None, "task", "source.token")
    with pytest.raises(InvalidTask, match=r"source\.token_file: .* cannot be read"):
        secret(None, str(tmp_path / "no"), "task", "source.token")


def test_kinds_that_are_not_there_are_named() -> None:
    context = TaskContext("t")
    with pytest.raises(InvalidTask, match=r"task: sink\.kind: is missing; there are: .*jsonl"):
        make_sink({}, context, "task")
    with pytest.raises(InvalidTask, match=r"task: sink\.kind: there is no 'nowhere'; there are: "):
        make_sink({"kind": "nowhere"}, context, "task")


def test_a_transform_that_is_wrong_is_named_by_its_path() -> None:
    rename = {"kind": "rename", "fields": {"a": "b"}}
    with pytest.raises(InvalidTask, match=r"transforms\[1\]\.kind: there is no .magic.; there"):
        make_transforms([rename, {"kind": "magic"}], "task")
    with pytest.raises(InvalidTask, match=r"transforms\[1\]\.feilds: there is no such setting"):
        make_transforms([rename, {"kind": "rename", "feilds": {}}], "task")
    with pytest.raises(InvalidTask, match=r"kind: is missing; there are: cast, "):
        make_transforms([{"fields": {}}], "task")
    assert len(make_transforms([rename, rename], "task")) == 1


def test_a_target_with_one_owner_is_no_place_for_tasks_that_share() -> None:
    sink = {"kind": "parquet", "path": "out"}
    shared = {**LEAST["source"], "sharing": "shared"}  # type: ignore[dict-item]
    parts_of({**LEAST, "sink": sink})
    with pytest.raises(InvalidTask, match="task: sink: this sink keeps the positions of all"):
        parts_of({**LEAST, "source": shared, "sink": sink})
