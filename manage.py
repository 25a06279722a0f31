"""Django's command line, for developers."""

import sys
from pathlib import Path

# Appended, never prepended: nothing in the checkout may hide a standard library module.
sys.path.append(str(Path(__file__).resolve().parent / "platform"))

if __name__ == "__main__":
    from handrail.cli.manage import execute

    execute("manage.py", *sys.argv[1:])
