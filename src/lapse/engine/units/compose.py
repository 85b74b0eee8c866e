"""A service for Compose: a container beside the others, in which `lapse daemon` keeps the policy's schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lapse.engine.units.needs import Needs
from lapse.engine.units.yamltext import yaml_text
from lapse.state.folders import SYSTEM_ROOT

_STATE = str(SYSTEM_ROOT)


def compose_file(needs: Needs, *, image: str, ids: tuple[int, int]) -> str:
    """The file, for `docker compose` or `podman-compose`.

    Arguments:
        needs: What a run needs.
        image: Image with Lapse in it.
        ids: Number of the user and of the group to run as.
    """
    policy = str(needs.policy)
    further = ("--", *needs.arguments) if needs.arguments else ()
    service: dict[str, Any] = {
        "image": image,
        "command": [_literal(each) for each in ("lapse", "--policy", policy, "daemon", *further)],
        "user": f"{ids[0]}:{ids[1]}",
        "restart": "unless-stopped",
        "init": True,
        "stop_grace_period": "10m",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": ["/tmp"],  # noqa: S108 - an empty folder of its own
        "mem_limit": "2g",
        "environment": {"LAPSE_STATE_DIR": _STATE},
        **({"env_file": [f"./{needs.name}.env"]} if needs.variables else {}),
        "volumes": list(_volumes(needs)),
        "healthcheck": {
            "test": ["CMD", "lapse", "--policy", _literal(policy), "daemon", "--check"],
            "interval": "2m",
            "timeout": "30s",
            "start_period": "30s",
        },
    }
    head = [f"{needs.schedule.text}. Start it with: docker compose -f FILE up -d"]
    if needs.variables:
        head.append(f"{needs.name}.env must set: {', '.join(needs.variables)}.")
    head.append(
        f"The image must have a folder {_STATE} that belongs to {ids[0]}:{ids[1]}, as the volume then does."
        if ids[0]
        else "It runs as root without capabilities, who can work on root's own files only; see --run-as."
    )
    return yaml_text([{"services": {needs.name: service}, "volumes": {f"{needs.name}-state": {}}}], head=head)


def _volumes(needs: Needs) -> Iterator[dict[str, Any]]:
    yield {"type": "volume", "source": f"{needs.name}-state", "target": _STATE}
    folders = dict.fromkeys((*needs.archives, *needs.stores, *needs.outputs))
    for folder in folders:
        yield _bound(folder)
    for path in (needs.policy, *needs.folders):  # a file of such a folder would not show another one that comes later
        yield {**_bound(path), "read_only": True}


def _bound(path: Path) -> dict[str, Any]:
    """A place that is the same inside: the policy means what it means here."""
    return {"type": "bind", "source": _literal(str(path)), "target": _literal(str(path))}


def _literal(text: str) -> str:
    """A dollar sign would begin a variable of Compose."""
    return text.replace("$", "$$")
