"""Putting units and crontab lines where they work, and taking them away again; what is not Lapse's stays."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapse.engine.units.needs import current_user
from lapse.engine.units.stamping import Ownership, ownership
from lapse.engine.units.systemd import Unit
from lapse.errors import GuardError, StateError, UsageError

_NOT_RUNNING = re.compile(r"not been booted|connect to .*bus")
_BLOCK = re.compile(r"^# BEGIN lapse schedule .*\n(?P<block>(?:.*\n)*?)# END lapse schedule ", re.MULTILINE)
_SYSTEM_UNITS = Path("/etc/systemd/system")
_MODE = 0o644
_ELSEWHERE = "Use `--name` for another name, or move it away."
_EDITED = "Move it away; put changes of your own into a drop-in with `systemctl edit`, or into the policy."


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was done to the machine.

    Attributes:
        files: Files that were written or removed, in order; a crontab goes by its owner.
        calls: Commands that were called, each a line.
        warnings: What is left to do.
    """

    files: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def units_folder(*, system: bool) -> Path:
    """Where the units of the machine's manager lie, or those of the user's own."""
    if system:
        return _SYSTEM_UNITS
    config = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (config if config.is_absolute() else Path.home() / ".config") / "systemd" / "user"


def is_installed(policy: str) -> bool:
    """Whether a timer, or lines in this user's crontab, are here that Lapse wrote for *policy*. Reads only.

    What somebody has changed since counts; what cannot be read does not.
    """
    return any(_is_for(text, policy) for text in (*_timers(), *_blocks()))


def _is_for(text: str, policy: str) -> bool:
    whose = ownership(text, policy)
    return whose is Ownership.OURS or (whose is Ownership.CHANGED and f" for {policy}; " in text.partition("\n")[0])


def _timers() -> Iterator[str]:
    for system in (True, False):
        for file in units_folder(system=system).glob("*.timer"):
            # A unit that this user may not read is not one that this user installed.
            with contextlib.suppress(OSError, UnicodeDecodeError):
                yield file.read_text(encoding="utf-8")


def _blocks() -> Iterator[str]:
    if shutil.which("crontab") is None:
        return
    ended = _call([_crontab_program(), "-l"])
    yield from (found["block"] for found in _BLOCK.finditer(ended.stdout))


def install_units(units: Sequence[Unit], *, policy: str, system: bool) -> Change:
    """Write *units*, let systemd read them, and start the timer.

    Raises:
        GuardError: If a file of that name is not Lapse's own, or somebody has changed it. Nothing was written.
        UsageError: If they cannot be written.
        StateError: If systemd does not take them.
    """
    folder = units_folder(system=system)
    paths = [folder / unit.name for unit in units]
    for path in paths:
        _require_ours(path, policy)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, unit in zip(paths, units, strict=True):
            _replace(path, unit.text)
    except OSError as error:
        hint = "Run as root, or install for yourself with --user."
        raise UsageError(f"{error.filename or folder} cannot be written: {error.strerror}", hint=hint) from error
    timer = units[-1].name
    calls = _systemctl([["daemon-reload"], ["enable", "--now", timer]], system=system)
    return Change(
        files=tuple(map(str, paths)), calls=calls, warnings=() if calls else (_not_started(timer, system=system),)
    )


def uninstall_units(names: Sequence[str], *, policy: str, system: bool) -> Change:
    """Stop the timer and remove the units that are there.

    Raises:
        GuardError: If one of them is not Lapse's own, or somebody has changed it. Nothing was removed.
        UsageError: If they cannot be removed.
        StateError: If systemd does not let them go.
    """
    folder = units_folder(system=system)
    paths = [path for path in (folder / name for name in names) if path.exists()]
    for path in paths:
        _require_ours(path, policy)
    if not paths:
        return Change()
    stopped = _systemctl([["disable", "--now", names[-1]]], system=system)
    try:
        for path in paths:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be removed: {error.strerror}", hint="Run as root.") from error
    return Change(files=tuple(map(str, paths)), calls=(*stopped, *_systemctl([["daemon-reload"]], system=system)))


def _require_ours(path: Path, policy: str) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise GuardError(f"{path} is there and cannot be read: {error}", hint=_ELSEWHERE) from error
    whose = ownership(text, policy)
    if whose is not Ownership.OURS:
        hint = _EDITED if whose is Ownership.CHANGED else _ELSEWHERE
        raise GuardError(f"{path} is there and was {whose.value}", hint=hint)


def _replace(path: Path, text: str) -> None:
    staged = path.with_name(f".{path.name}.lapse")  # no manager reads names that begin with a dot
    staged.write_text(text, encoding="utf-8")
    staged.chmod(_MODE)
    staged.replace(path)


def _systemctl(commands: Sequence[Sequence[str]], *, system: bool) -> tuple[str, ...]:
    """Call systemctl; nothing comes of it where systemd does not run."""
    program = shutil.which("systemctl")
    if program is None:
        return ()
    calls = []
    for command in commands:
        ended = _call([program, *([] if system else ["--user"]), *command])
        if ended.returncode != 0 and _NOT_RUNNING.search(ended.stderr):
            return ()
        calls.append(_succeeded(ended, "systemctl"))
    return tuple(calls)


def _call(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def _succeeded(ended: subprocess.CompletedProcess[str], program: str) -> str:
    """The line that was called.

    Raises:
        StateError: If it failed.
    """
    line = " ".join([program, *ended.args[1:]])
    if ended.returncode != 0:
        reason = ended.stderr.strip() or f"exit {ended.returncode}"
        raise StateError(f"`{line}` failed: {reason}", hint="Look at what it says, then call this again.")
    return line


def _not_started(timer: str, *, system: bool) -> str:
    manager = "systemctl" if system else "systemctl --user"
    return f"systemd does not run here, so nothing was started: {manager} enable --now {timer}"


def install_crontab(block: str, *, policy: str, name: str) -> Change:
    """Put *block* at the end of the user's crontab, in place of the one that is there.

    Raises:
        GuardError: If somebody has changed that one.
        UsageError: If there is no crontab program.
        StateError: If it does not take the new crontab.
    """
    kept = _without_block(_crontab(), policy, name)
    return _write_crontab(f"{kept}{_begin(name)}\n{block}{_end(name)}\n")


def uninstall_crontab(*, policy: str, name: str) -> Change:
    """Take the block out of the user's crontab; errors as `install_crontab`."""
    before = _crontab()
    kept = _without_block(before, policy, name)
    return Change() if kept == before else _write_crontab(kept)


def _crontab() -> str:
    ended = _call([_crontab_program(), "-l"])
    if ended.returncode == 0:
        return ended.stdout
    if "no crontab" in ended.stderr:
        return ""
    raise StateError(f"`crontab -l` failed: {ended.stderr.strip()}", hint="Nothing was changed.")


def _crontab_program() -> str:
    program = shutil.which("crontab")
    if program is None:
        raise UsageError("there is no `crontab` here", hint="Install cron, or use systemd or `lapse daemon`.")
    return program


def _write_crontab(text: str) -> Change:
    call = _succeeded(_call([_crontab_program(), "-"], text), "crontab")
    return Change(files=(f"crontab of {current_user()}",), calls=(call,))


def _without_block(text: str, policy: str, name: str) -> str:
    begin, end = re.escape(_begin(name)), re.escape(_end(name))
    found = re.search(rf"^{begin}\n(?P<block>.*?)^{end}\n", text, re.MULTILINE | re.DOTALL)
    if found is None:
        if _begin(name) in text.splitlines():
            raise GuardError("the crontab has the beginning of Lapse's lines without their end", hint="Put it right.")
        return text if not text or text.endswith("\n") else f"{text}\n"
    whose = ownership(found["block"], policy)
    if whose is not Ownership.OURS:
        hint = "Take these lines out by hand." if whose is Ownership.CHANGED else "Use `--name` for another name."
        raise GuardError(f"the crontab has lines for {name} which were {whose.value}", hint=hint)
    return text[: found.start()] + text[found.end() :]


def _begin(name: str) -> str:
    return f"# BEGIN lapse schedule {name}"


def _end(name: str) -> str:
    return f"# END lapse schedule {name}"
