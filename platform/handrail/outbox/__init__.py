"""Messages that must leave (chat, pages, webhooks): written with the act, sent afterwards, never lost."""
