"""A Slack to try things with: a real socket, the checks of a real one, and a page with buttons to press."""
