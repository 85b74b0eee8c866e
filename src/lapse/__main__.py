"""``python -m lapse``: the same as the command ``lapse``."""

from lapse.cli.entry import main

if __name__ == "__main__":
    main()
