"""``python -m cachesvc`` and the console script ``cachesvc``."""

from cachesvc.cli.main import main

if __name__ == "__main__":
    main()
