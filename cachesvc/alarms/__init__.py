"""The alarm edge: looks for what is wrong, keeps alarms, tells a webhook."""
