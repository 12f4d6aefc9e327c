"""One command per published figure. Benchmarks are apart from tests: no test is timed."""
