"""What is found wrong with a file whose target is Kafka before anything is asked for."""

from pathlib import Path

from typer.testing import CliRunner

from cachesvc.sync.cli.main import app
from tests.sync.test_commands import task_file


def test_what_is_ignored_needs_a_place(tmp_path: Path) -> None:
    file = task_file(tmp_path, "127.0.0.1:1", "")
    kafka = 'kind = "kafka"\nbootstrap_servers = ["127.0.0.1:1"]\nignore_push_errors = true'
    file.write_text(file.read_text().replace('kind = "jsonl"\npath = "out"', kafka))
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code == 2
    assert 'sink.ignore_push_errors: needs errors.policy = "dead-letter"' in done.output
