"""Prometheus itself, as a process that scrapes and judges every second."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.left_out import leave_out
from tests.support.ports import HOST, free_ports

_READY_S = 60.0
_STOP_S = 30.0
_CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: cachesvc
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """A server in a directory of its own, with the job ``cachesvc``. A context manager.

    Args:
        directory: For its configuration, data and log.
        target: HOST:PORT of what is scraped.
        rules: Of alerts, as YAML.
    """

    def __init__(self, directory: Path, target: str, rules: str) -> None:
        directory.mkdir()
        self._directory = directory
        rules_file, config = directory / "rules.yml", directory / "prometheus.yml"
        rules_file.write_text(rules)
        config.write_text(_CONFIG.format(rules=rules_file, target=target))
        (port,) = free_ports(1)
        self.url = f"http://{HOST}:{port}"
        self._arguments = [
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={HOST}:{port}",
        ]

    def __enter__(self) -> Self:
        program = shutil.which("prometheus")
        if program is None:
            leave_out("no prometheus here; the package prometheus has it")
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(program), *self._arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until_s = time.monotonic() + _READY_S
        while not self._is_ready():
            assert self._process.poll() is None and time.monotonic() < until_s, self._log()
            time.sleep(0.1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        finally:
            self._process.kill()

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """The samples of an expression now, by the values of their labels in their names' order."""
        found = self._get("query", query=expression)["result"]
        return {
            tuple(value for name, value in sorted(row["metric"].items()) if name != "__name__"): (
                float(row["value"][1])
            )
            for row in found
        }

    def firing(self) -> list[tuple[str, dict[str, str]]]:
        """Name and labels of the alerts that fire."""
        return [
            (alert["labels"]["alertname"], alert["labels"])
            for alert in self._get("alerts")["alerts"]
            if alert["state"] == "firing"
        ]

    def errors(self) -> list[str]:
        """What the last scrape of each target failed of; empty texts for those that did not."""
        return [str(target["lastError"]) for target in self._get("targets")["activeTargets"]]

    def _get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        return answer.raise_for_status().json()["data"]

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")[-4_000:]
