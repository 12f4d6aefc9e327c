"""How far simulations go: a fixed sample in `make test`, the full count in `make soak`."""

import os

from hypothesis import settings

FULL = "CHAPEK_TEST_FULL"
"""Set by `make soak` alone."""


def register_profiles() -> None:
    """A sample is the same in every run, so that a change is judged by itself; a campaign looks for what is new."""
    settings.register_profile("sample", derandomize=True, deadline=None)
    settings.register_profile("full", derandomize=False, deadline=None, print_blob=True)
    settings.load_profile("full" if full() else "sample")


def full() -> bool:
    return os.environ.get(FULL) == "1"


def examples(sample: int, *, full_count: int) -> int:
    """How many examples a property is judged by in this run."""
    return full_count if full() else sample
