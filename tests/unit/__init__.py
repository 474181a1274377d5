"""Tests without I/O or sleeping."""
