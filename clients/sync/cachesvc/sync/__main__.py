"""``python -m cachesvc.sync`` and the console script ``cachesvc-sync``."""

from cachesvc.sync.cli.main import app


def main() -> None:
    """Runs the command that the process was started with, and ends the process."""
    app(prog_name="cachesvc-sync")


if __name__ == "__main__":
    main()
