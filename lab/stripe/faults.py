"""Trouble on demand, for the next requests whose path begins with `path`."""

from dataclasses import dataclass, field

KINDS = ("error_before", "error_after", "hang_up_before", "hang_up_after", "rate_limit")
"""`before`: nothing was done. `after`: it was done, and the caller is not told. `hang_up` closes the connection."""


@dataclass
class Trouble:
    kind: str
    path: str = "/v1/"
    times: int = 1


@dataclass
class Troubles:
    coming: list[Trouble] = field(default_factory=list)

    def add(self, kind: str, *, path: str = "/v1/", times: int = 1) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown trouble {kind!r}; there are {', '.join(KINDS)}")
        self.coming.append(Trouble(kind=kind, path=path, times=times))

    def next_for(self, path: str) -> str:
        """The trouble this request meets, or ''."""
        for trouble in self.coming:
            if trouble.times > 0 and path.startswith(trouble.path):
                trouble.times -= 1
                return trouble.kind
        return ""
