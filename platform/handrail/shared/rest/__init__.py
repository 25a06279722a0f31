"""What every app's REST endpoints share: strict bodies, errors, pages, conditions, limits, the schema's rules."""
