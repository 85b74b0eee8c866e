"""From what somebody asks for to the texts, and from the texts to a machine that runs by them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import lapse
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
from lapse.engine.units.needs import Needs, current_user, inline_secrets, needs_of
from lapse.engine.units.systemd import Unit, environment_file, systemd_units
from lapse.errors import UsageError
from lapse.model.forms import Form

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
        UsageError: If the policy has no schedule, or one that this form cannot express; or a password that this form
            would carry away.
    """
    _require_word("--name", order.name, _NAME)
    _require_word("--run-as", _user(order), _USER)
    needs = needs_of(session, name=order.name, user=_user(order), arguments=order.arguments, system=order.system)
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
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError as error:
        hint = f"Make it with `useradd --system --user-group {user}`, or name another one with --run-as."
        raise UsageError(f"there is no user {user} for the service to run as", hint=hint) from error


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
            ids = (os.geteuid(), os.getegid())
            return (Unit(f"compose.{needs.name}.yaml", compose_file(needs, image=image, ids=ids)),)


def _warnings(needs: Needs, order: Order) -> Iterator[str]:
    if not order.form.is_installable:
        if order.image is None:
            yield "no image is named: build one with Lapse in it, and name it with --image"
        return
    if needs.variables:
        file = environment_file(needs, system=order.system) if order.form is Form.SYSTEMD else f"{needs.name}.env"
        yield f"put {', '.join(needs.variables)} into {file}, which only {needs.user} should be able to read"
    if order.form is Form.SYSTEMD:
        yield from (f"{folder} is not there: make it, for {needs.user} to write to" for folder in needs.missing)
