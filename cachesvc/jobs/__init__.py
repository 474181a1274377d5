"""The scheduler edge: compaction, retention, sweep."""
