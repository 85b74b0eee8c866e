"""A CronJob for Kubernetes, with the policy in a ConfigMap and claims for what Lapse itself keeps.

Inside, everything lies where it lies here, so that the policy means the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from lapse.engine.units.needs import Needs
from lapse.engine.units.yamltext import yaml_text
from lapse.errors import UsageError
from lapse.state.folders import SYSTEM_ROOT

Object: TypeAlias = dict[str, Any]

_NOBODY = 65532  # no user of any image; files of the claims belong to its group
_ROOM = "10Gi"
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._-]")


def kubernetes_manifest(needs: Needs, *, image: str) -> str:
    """ConfigMap, claims and CronJob as one YAML text.

    Raises:
        UsageError: If the arguments write a file, which nobody would find.
    """
    if needs.outputs:
        hint = "Leave `--metrics` out: `lapse status --json` answers from where the state is."
        raise UsageError("a job in Kubernetes leaves no file behind", hint=hint)
    head = [
        f"{needs.schedule.text}. Apply it with: kubectl apply -f FILE",
        *(f"Claim {needs.name}-{name} must be the one that holds {folder}." for name, folder in _stores(needs).items()),
    ]
    if needs.variables:
        head.append(f"Secret {needs.name}-env must have: {', '.join(needs.variables)}.")
    return yaml_text([_config_map(needs), *_claims(needs), _cron_job(needs, image)], head=head)


def _config_map(needs: Needs) -> Object:
    texts = {key: (needs.policy.parent / file).read_text(encoding="utf-8") for file, key in _keys(needs).items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named(needs, "policy"), "data": texts}


def _keys(needs: Needs) -> dict[Path, str]:
    """A key for each file that a ConfigMap may have, no two the same; each is mounted as the file itself."""
    keys: dict[Path, str] = {}
    for file in needs.files:
        plain = _NOT_IN_A_KEY.sub("-", str(file))
        names = (plain, *(f"{number}-{plain}" for number in range(1, len(needs.files))))
        keys[file] = next(name for name in names if name not in keys.values())
    return keys


def _claims(needs: Needs) -> Iterator[Object]:
    """Claims for the state and the archives: what nobody else makes."""
    for name in _own(needs):
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": _named(needs, name),
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": _ROOM}}},
        }


def _own(needs: Needs) -> dict[str, Path]:
    """Folders of the state and the archives, by volume; the claim for a volume has the units' name before its own."""
    return {"state": SYSTEM_ROOT, **{f"archive-{number}": folder for number, folder in enumerate(needs.archives, 1)}}


def _stores(needs: Needs) -> dict[str, Path]:
    """Folders of the stores, by volume: somebody else has made the claims for them."""
    return {f"store-{number}": folder for number, folder in enumerate(needs.stores, 1)}


def _cron_job(needs: Needs, image: str) -> Object:
    schedule = needs.schedule
    spec: Object = {
        "schedule": schedule.cron,
        "timeZone": schedule.zone or "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": max(60, round(schedule.slack)),
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        # Running it again is the recovery procedure, but a guard's refusal is no better the second time.
        "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": _pod(needs, image)}}},
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": needs.name}, "spec": spec}


def _pod(needs: Needs, image: str) -> Object:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 600,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "runAsGroup": _NOBODY,
            "fsGroup": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(needs, image)],
        "volumes": list(_volumes(needs)),
    }


def _container(needs: Needs, image: str) -> Object:
    return {
        "name": "lapse",
        "image": image,
        "command": [_literal(each) for each in ("lapse", "--policy", str(needs.policy), "run", *needs.arguments)],
        **({"args": list(needs.spread)} if needs.spread else {}),
        "env": list(_environment(needs)),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": list(_mounts(needs)),
    }


def _environment(needs: Needs) -> Iterator[Object]:
    yield {"name": "LAPSE_STATE_DIR", "value": str(SYSTEM_ROOT)}
    for name in needs.variables:
        yield {"name": name, "valueFrom": {"secretKeyRef": {"name": f"{needs.name}-env", "key": name}}}


def _mounts(needs: Needs) -> Iterator[Object]:
    for name, folder in (_own(needs) | _stores(needs)).items():
        yield {"name": name, "mountPath": str(folder)}
    for file, key in _keys(needs).items():
        yield {"name": "policy", "mountPath": str(needs.policy.parent / file), "subPath": key, "readOnly": True}
    yield {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - an empty folder of its own


def _volumes(needs: Needs) -> Iterator[Object]:
    yield {"name": "policy", "configMap": {"name": f"{needs.name}-policy"}}
    for name in _own(needs) | _stores(needs):
        yield {"name": name, "persistentVolumeClaim": {"claimName": f"{needs.name}-{name}"}}
    yield {"name": "tmp", "emptyDir": {}}


def _literal(text: str) -> str:
    """A dollar sign could begin a variable, as in ``$(NAME)``; two of them are one."""
    return text.replace("$", "$$")


def _named(needs: Needs, suffix: str) -> Object:
    return {"name": f"{needs.name}-{suffix}"}
