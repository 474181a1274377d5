"""Tests of cachesvc; `tests.support` holds what they share."""
