"""Where the program begins: the short way for what cron calls all the time, and the usual way for everything."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script."""
    from lapse.cli.links import called_as
    from lapse.cli.process import prepare
    from lapse.cli.quick import quick

    prepare()
    arguments = called_as(sys.argv)
    code = quick(arguments)
    if code is not None:
        sys.exit(code)
    from lapse.cli.main import app

    app(arguments)
