"""The command line ``cachesvc-sync``."""
