"""Settings, URLs, servers, Celery, and the wiring between apps."""
