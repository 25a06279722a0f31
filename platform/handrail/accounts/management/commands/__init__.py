"""Those that replace commands of Django."""
