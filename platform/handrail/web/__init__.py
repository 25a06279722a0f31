"""The pages that people see, a file a page."""
