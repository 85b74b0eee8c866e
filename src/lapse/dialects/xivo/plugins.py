"""Plug-ins of the original: archives, which are called before a purge, and purgers, which delete by themselves.

Only those that are enabled are ever loaded. What they raise, print or exit with is caught here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

from lapse.dialects.xivo.failures import PluginError, PluginExitError
from lapse.dialects.xivo.logbook import printing_logged
from lapse.dialects.xivo.settings import Settings
from lapse.dialects.xivo.tables import BY_NAME
from lapse.engine.foreign import ForeignPurger
from lapse.errors import LapseError, PolicyError
from lapse.model.masking import masked
from lapse.ports import DriverSession

ARCHIVE_GROUPS = ("wazo_purge_db.archives", "xivo_purge_db.archives")
PURGER_GROUPS = ("wazo_purge_db.purgers",)
_CODES = 256


@dataclass(frozen=True, slots=True)
class ArchivePlugin:
    """An archive plug-in that is loaded.

    Attributes:
        name: As the configuration calls it.
        call: What it does, given the configuration.
    """

    name: str
    call: Callable[[dict[str, Any]], object]


def foreign_names() -> tuple[str, ...]:
    """Names of the installed purgers that Lapse does not have itself."""
    found = (point.name for group in PURGER_GROUPS for point in entry_points(group=group))
    return tuple(dict.fromkeys(name for name in found if name not in BY_NAME))


def load_archives(settings: Settings) -> tuple[ArchivePlugin, ...]:
    """The enabled archive plug-ins, in the order in which the configuration lists them.

    Raises:
        PolicyError: If one is not installed, or is installed twice.
        PluginError: If one cannot be loaded.
    """
    return tuple(ArchivePlugin(name, _loaded(name, ARCHIVE_GROUPS, settings)) for name in settings.archives)


def call_archives(plugins: Sequence[ArchivePlugin], settings: Settings) -> None:
    """Call each plug-in once; each gets a copy of the configuration of its own.

    Raises:
        PluginError: If one fails; those after it are not called.
    """
    for plugin in plugins:
        with _contained(f"archive plug-in {plugin.name}", "Nothing was removed. Mend the plug-in, or disable it."):
            plugin.call(settings.copy_for_plugin())


def load_purgers(settings: Settings) -> tuple[ForeignPurger, ...]:
    """The enabled purgers that Lapse does not have itself.

    Raises:
        PolicyError: If one is installed twice.
        PluginError: If one cannot be loaded.
    """
    return tuple(
        ForeignPurger(
            name=name,
            days=settings.days_for(name),
            purge=partial(_purge, name, _loaded(name, PURGER_GROUPS, settings), settings.days_for(name)),
        )
        for name in settings.purgers
        if name not in BY_NAME
    )


def _purge(name: str, kind: Callable[[], Any], days: int, session: DriverSession) -> None:
    with _contained(f"purger {name}", "Its transaction was rolled back."):
        kind().purge(days, session)


def _loaded(name: str, groups: Sequence[str], settings: Settings) -> Callable[..., Any]:
    point = _point(name, groups, settings)
    with _contained(f"plug-in {name}", "Nothing was removed. Mend its installation, or disable it."):
        found = point.load()
        if not callable(found):
            raise TypeError(f"{point.value} cannot be called")
        called: Callable[..., Any] = found
        return called


def _point(name: str, groups: Sequence[str], settings: Settings) -> EntryPoint:
    points = [point for group in groups for point in entry_points(group=group, name=name)]
    kind = groups[0].rpartition(".")[2]
    origin = settings.origins.get(f"enabled_plugins.{kind}")
    if not points:
        installed = sorted({point.name for group in groups for point in entry_points(group=group)})
        raise PolicyError(
            f"`enabled_plugins.{kind}`: `{name}` is not installed",
            hint=f"Installed: {', '.join(installed) or 'none'}. Install it beside lapse, or disable it.",
            origin=origin,
        )
    if len({point.value for point in points}) > 1:
        raise PolicyError(
            f"`enabled_plugins.{kind}`: `{name}` is installed more than once",
            hint=f"Keep one of: {', '.join(sorted({point.value for point in points}))}.",
            origin=origin,
        )
    return points[0]


@contextmanager
def _contained(what: str, hint: str) -> Iterator[None]:
    """Log what the block prints, and make one kind of error of all that it raises."""
    try:
        with printing_logged(what.rpartition(" ")[2]):
            yield
    except SystemExit as error:
        _exited(what, hint, error.code)
    except LapseError:
        raise
    except Exception as error:  # what somebody else's code may raise is not known
        raise PluginError(masked(f"{what} failed: {type(error).__name__}: {error}"), hint=hint) from error


def _exited(what: str, hint: str, code: object) -> NoReturn:
    """A plug-in never ends the program with 0: the purge that was asked for was not done."""
    number = code if isinstance(code, int) and 0 < code < _CODES else 1
    said = "" if code is None or isinstance(code, int) else f": {code}"
    raise PluginExitError(masked(f"{what} ended the program with {number}{said}"), code=number, hint=hint)
