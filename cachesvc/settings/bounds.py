"""Units of bytes, and the ranges that several settings share."""

from typing import Annotated

from msgspec import Meta

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

CacheBytes = Annotated[int, Meta(ge=64 * KIB, le=1024 * GIB)]
Interval = Annotated[float, Meta(ge=0.1, le=86_400)]
TopicBytes = Annotated[int, Meta(ge=KIB, le=1024 * 1024 * GIB)]
Budget = Annotated[int, Meta(ge=MIB, le=1024 * 1024 * GIB)]
Age = Annotated[float, Meta(ge=1, le=3_153_600_000)]
