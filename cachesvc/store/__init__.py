"""Files: record format, journals, segments, catalogue."""
