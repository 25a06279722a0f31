"""Benchmarks: what Handrail's durable work costs, as ratios against floors that the same run measures."""
