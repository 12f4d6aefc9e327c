"""A pure library: candidates and a workload in, a ranked decision with reasons out. No ORM, no clock, no I/O."""
