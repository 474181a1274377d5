"""Tests of `cachesvc.policy`, by literal values before and after."""
