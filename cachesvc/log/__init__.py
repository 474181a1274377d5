"""The log: what is cached, how it is read and written, who subscribes, who mines."""
