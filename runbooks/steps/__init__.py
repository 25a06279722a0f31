"""Action types that need no vendor."""
