"""Commands that steer a Handrail somewhere else, over its REST API: what a token may not do, they may not do."""
