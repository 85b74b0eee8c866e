"""From what somebody asks for to the texts, and from the texts to a machine that runs by them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import lapse
from lapse import clock
from lapse.engine.session import Session
from lapse.engine.units.compose import compose_file
from lapse.engine.units.crontab import crontab_block
from lapse.engine.units.installing import (
    Change,
    install_crontab,
    install_units,
    uninstall_crontab,
    uninstall_units,
)
from lapse.engine.units.kubernetes import kubernetes_manifest
from lapse.engine.units.needs import Needs, current_user, inline_secrets, needs_of, secret_files
from lapse.engine.units.systemd import Unit, environment_file, systemd_units
from lapse.errors import UsageError
from lapse.model.forms import Form
from lapse.state.folders import SYSTEM_ROOT

_SERVICE_USER = "lapse"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")  # what Kubernetes takes, too
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asks for.

    Attributes:
        form: What starts the runs.
        name: What the units are to be called.
        arguments: Arguments of `lapse run`.
        system: Whether systemd's units are for the machine, not for one user.
        run_as: User to run as. None takes the one who asks, or ``lapse`` if that is root.
        image: Container image. None names one that does not exist, to be replaced.
    """

    form: Form
    name: str = "lapse"
    arguments: tuple[str, ...] = ()
    system: bool = True
    run_as: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of an order.

    Attributes:
        units: The texts, each with the name of its file.
        needs: What they were made from.
        warnings: What is still to be done by hand.
    """

    units: tuple[Unit, ...]
    needs: Needs
    warnings: tuple[str, ...]


def make(session: Session, order: Order) -> Made:
    """Make the texts. Nothing is written.

    Raises:
        UsageError: If the policy has no schedule, or one that this form cannot express; a password that this form
            would carry away; a user that it cannot run as; or a path that would break the text.
    """
    _require_word("--name", order.name, _NAME)
    _require_word("--run-as", _user(order), _USER)
    _require_use_of_run_as(order)
    needs = needs_of(session, name=order.name, user=_user(order), arguments=order.arguments, system=order.system)
    _require_one_line(needs)
    if order.form is Form.KUBERNETES:
        _require_no_secrets(needs)
    return Made(units=_units(needs, order), needs=needs, warnings=tuple(_warnings(needs, order)))


def install(session: Session, order: Order, made: Made) -> Change:
    """Install and start what was made.

    Raises:
        UsageError: If this form cannot be installed from here, or the user is not there.
        GuardError: If something stands in the way that is not Lapse's own.
        StateError: If systemd or cron do not take it.
    """
    if order.form is Form.CRON:
        return install_crontab(made.units[0].text, policy=session.scope, name=order.name)
    _require_installable(order)
    if order.system:
        _require_user(made.needs.user)
    return install_units(made.units, policy=session.scope, system=order.system)


def uninstall(session: Session, order: Order) -> Change:
    """Stop and remove what was installed; errors as `install`."""
    _require_word("--name", order.name, _NAME)
    if order.form is Form.CRON:
        return uninstall_crontab(policy=session.scope, name=order.name)
    _require_installable(order)
    names = (f"{order.name}.service", f"{order.name}.timer")
    return uninstall_units(names, policy=session.scope, system=order.system)


def _require_word(option: str, word: str, form: re.Pattern[str]) -> None:
    if not form.fullmatch(word):
        raise UsageError(f"{option}: {word!r} cannot be one", hint="Use small letters, digits and `-`, like nightly-1.")


def _require_use_of_run_as(order: Order) -> None:
    """Refuse a user where the text would not follow: it would run as somebody else."""
    if order.run_as is None:
        return
    match order.form:
        case Form.CRON:
            hint = "Call this as that user."
        case Form.KUBERNETES:
            hint = "Change `runAsUser` in the manifest."
        case Form.SYSTEMD if not order.system:
            hint = "Leave out --user for a unit of the machine; or call this as that user."
        case _:
            return
    raise UsageError("--run-as has no effect here", hint=hint)


def _require_one_line(needs: Needs) -> None:
    """Refuse line ends, and bytes that are no text, which could begin a setting or a line of their own."""
    for each in (needs.policy, *needs.written, *needs.files, *needs.folders, *needs.command):
        text = str(each)
        if not text.isprintable():
            what = f"{text!r} cannot stand in what starts the runs: it has characters that cannot be printed"
            raise UsageError(what, hint="Give it another name.")


def _require_no_secrets(needs: Needs) -> None:
    place = next(inline_secrets(needs), None)
    if place is not None:
        raise UsageError(
            f"{place} has a password in plain text, which would go into a ConfigMap",
            hint="Write ${NAME} in its place; the manifest then takes it from a Secret.",
        )


def _require_installable(order: Order) -> None:
    if not order.form.is_installable:
        raise UsageError(
            f"{order.form.value} is not installed from here", hint=f"Print it: lapse schedule {order.form.value} > FILE"
        )


def _require_user(user: str) -> None:
    _ids(user)


def _ids(user: str) -> tuple[int, int]:
    """Number of a user, and of the group that is the user's own."""
    import pwd

    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        hint = f"Make it with `useradd --system --user-group {user}`, or name another one with --run-as."
        raise UsageError(f"there is no user {user} for the service to run as", hint=hint) from error
    return found.pw_uid, found.pw_gid


def _user(order: Order) -> str:
    if order.run_as is not None:
        return order.run_as
    # A crontab belongs to who asks; a service of the machine should not be root's without anybody saying so.
    asking = current_user()
    return _SERVICE_USER if asking == "root" and order.form is Form.SYSTEMD and order.system else asking


def _units(needs: Needs, order: Order) -> tuple[Unit, ...]:
    image = order.image or f"lapse:{lapse.__version__}"
    match order.form:
        case Form.SYSTEMD:
            return systemd_units(needs, system=order.system)
        case Form.CRON:
            return (Unit("crontab", crontab_block(needs)),)
        case Form.KUBERNETES:
            return (Unit(f"{needs.name}-cronjob.yaml", kubernetes_manifest(needs, image=image)),)
        case Form.COMPOSE:
            ids = (os.geteuid(), os.getegid()) if order.run_as is None else _ids(order.run_as)
            return (Unit(f"compose.{needs.name}.yaml", compose_file(needs, image=image, ids=ids)),)


def _warnings(needs: Needs, order: Order) -> Iterator[str]:
    if not order.form.is_installable:
        if order.image is None:
            yield "no image is named: build one with Lapse in it, and name it with --image"
        if files := secret_files(needs):
            yield f"the policy reads {', '.join(files)}: mount that, where it is here, from a secret"
        if needs.schedule.zone is None and _is_elsewhere_than_utc():
            yield "a container's clock is UTC: add the `time zone` that you mean to the schedule"
        return
    if needs.variables:
        file = environment_file(needs, system=order.system) if order.form is Form.SYSTEMD else f"{needs.name}.env"
        yield f"put {', '.join(needs.variables)} into {file}, which only {needs.user} should be able to read"
    if order.form is Form.SYSTEMD:
        # systemd makes the usual state folder, and a run any that it may: not so where a fence must let it through.
        fenced = (needs.state,) if order.system and needs.state != SYSTEM_ROOT and not needs.state.is_dir() else ()
        missing = (*fenced, *needs.missing)
        yield from (f"{folder} is not there: make it, for {needs.user} to write to" for folder in missing)


def _is_elsewhere_than_utc() -> bool:
    """Whether the machine's clock differs from UTC's in winter or in summer."""
    zone = clock.local_zone()
    return any(datetime(2024, month, 1, tzinfo=zone).utcoffset() for month in (1, 7))
