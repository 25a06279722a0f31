"""E-mail: plain text to addresses that an operator allowed, through the outbox and an SMTP server."""
