"""The alarm edge: what somebody has to know of, and who is told.

``facts`` gathers what is known of mining, subscriptions and jobs, ``policy.alarms`` says what of
that is an *alarm*, and ``watch`` raises and clears alarms, durably, once they have stood for long
enough. ``webhook`` posts each change, at least once and in order; ``tasks`` is what of this runs.

Begin with ``watch.AlarmWatch``. A new kind of alarm is a rule of ``policy.alarm_conditions``, and
what it needs to know a field of its facts.
"""
