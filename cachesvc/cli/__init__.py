"""The command line: ``cachesvc``. docs/cli.md is the reference."""

from cachesvc.cli.main import app

__all__ = ["app"]
