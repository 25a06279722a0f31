"""Secret references, their backends, and the redactor before every sink."""
