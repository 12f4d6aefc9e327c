"""Half-open periods ``[start, end)`` of aware UTC instants; an open end is ``None``."""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg.types.range import TimestamptzRange


@dataclass(frozen=True, kw_only=True)
class Period:
    """``start_at`` belongs to the period, ``end_at`` does not."""

    start_at: datetime
    end_at: datetime | None = None

    def __post_init__(self) -> None:
        for instant in (self.start_at, self.end_at):
            if instant is not None and instant.tzinfo is None:
                raise ValueError("periods are made of aware datetimes")
        if self.end_at is not None and self.end_at <= self.start_at:
            raise ValueError("a period ends after it starts")

    def overlaps(self, other: "Period") -> bool:
        return (self.end_at is None or other.start_at < self.end_at) and (
            other.end_at is None or self.start_at < other.end_at
        )

    @property
    def seconds(self) -> int | None:
        """Whole seconds, or None when open."""
        return None if self.end_at is None else int((self.end_at - self.start_at).total_seconds())

    def as_range(self) -> TimestamptzRange:
        return TimestamptzRange(self.start_at, self.end_at, "[)")

    @classmethod
    def from_range(cls, value: TimestamptzRange) -> "Period":
        assert value.lower is not None  # noqa: S101 - every stored period has a start, by constraint
        end = value.upper.astimezone(UTC) if value.upper is not None else None
        return cls(start_at=value.lower.astimezone(UTC), end_at=end)
