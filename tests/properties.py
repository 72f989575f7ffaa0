"""Settings of property tests: quick, with the same examples each time."""

from hypothesis import settings

derandomised = settings(max_examples=20, deadline=None, derandomize=True, database=None)
