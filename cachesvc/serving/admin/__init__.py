"""``cachesvc.v1.Admin``, in parts: one class per group of calls."""
