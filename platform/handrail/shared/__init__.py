"""What every app may use: errors, clock, ids, actors, hooks, wake-ups."""
