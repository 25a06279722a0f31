"""From a webhook body to an alert episode."""
