"""Commands of `handrail manage`."""
