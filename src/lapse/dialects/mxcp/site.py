"""The site file and the user configuration in, the audit settings of one profile out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lapse.dialects.yamlfile import read
from lapse.errors import Complaint, LapseError, PolicyError
from lapse.policyfile.similar import did_you_mean, nearest
from lapse.policyfile.tree import Entry, Mapped, Node, Scalar

SITE_FILE = "mxcp-site.yml"

_TOP = (
    "mxcp", "project", "profile", "profiles", "paths", "secrets", "plugin", "extensions", "dbt", "sql_tools",
)  # fmt: skip
_PROFILE = ("duckdb", "drift", "audit")
_AUDIT = ("enabled", "path", "max_file_size")
_SLIP = 0.8  # likeness from which an unknown key is a misspelt one, rather than a newer version's
_TRUE, _FALSE = {"true", "1", "yes", "on", "t", "y"}, {"false", "0", "no", "off", "f", "n"}
_WORDS = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_ENVIRONMENT = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the configuration says of the audit trail of one profile.

    Attributes:
        site: The site file.
        profile: The profile.
        enabled: Whether the server keeps an audit trail.
        path: Its log, absolute. None if nothing says where it is.
    """

    site: Path
    profile: str
    enabled: bool
    path: Path | None


class ProfileError(LapseError):
    """A profile that is not there, or that does not say enough."""


def find_site(folder: Path) -> Path:
    """The site file in *folder* or the nearest folder above it.

    Raises:
        PolicyError: If there is none.
    """
    for each in (folder, *folder.parents):
        if (each / SITE_FILE).exists():
            return each / SITE_FILE
    raise PolicyError(
        f"No {SITE_FILE} found in current directory or parents", hint="Call it from a folder of the project."
    )


def read_audit(site: Path, profile: str | None) -> Audit:
    """The audit settings of a profile.

    Arguments:
        site: The site file.
        profile: Name on the command line. None takes ``MXCP_PROFILE``, else the site file's.

    Raises:
        PolicyError: If a configuration file cannot be followed, with everything that is wrong in it.
        ProfileError: If the profile is unknown.
    """
    complaints: list[Complaint] = []
    root = read(site, complaints, merging=True)
    complaints += [] if complaints else [*_complaints(root)]
    if complaints:
        count = "1 problem" if len(complaints) == 1 else f"{len(complaints)} problems"
        raise PolicyError(f"{site} has {count}", complaints=complaints)
    _check_user_configuration()
    own = _text(root.get("profile"))
    name = profile or os.environ.get("MXCP_PROFILE") or own
    if name != own and not isinstance(root.get("profiles", name), Mapped):
        raise ProfileError(f"Profile '{name}' not found in configuration", hint=_known(root, own))
    return _audit(site, root, name, is_default=name == own)


def _audit(site: Path, root: Mapped, name: str, *, is_default: bool) -> Audit:
    ordered = _ENVIRONMENT.get(os.environ.get("MXCP_AUDIT_ENABLED", "").strip().lower())
    written = _switch(root.get("profiles", name, "audit", "enabled"))
    path = _text(root.get("profiles", name, "audit", "path"))
    if not path and (is_default or ordered):
        path = f"{_text(root.get('paths', 'audit')) or 'audit'}/logs-{name}.jsonl"
    return Audit(
        site=site,
        profile=name,
        enabled=bool(written) if ordered is None else ordered,
        path=Path(os.path.normpath(site.parent / path)) if path else None,
    )


def _check_user_configuration() -> None:
    """See that the user configuration is there where it is named, and can be read; it says nothing of the audit.

    Raises:
        PolicyError: If not.
    """
    named = os.environ.get("MXCP_CONFIG")
    file = Path(named) if named is not None else Path("~/.mxcp/config.yml").expanduser()
    if not file.exists():
        if named is None:
            return
        raise PolicyError(f"MXCP user config not found at {file}", hint="Set MXCP_CONFIG right, or unset it.")
    complaints: list[Complaint] = []
    version = read(file, complaints, merging=True).entry("mxcp")
    if version is not None and not complaints:
        complaints += _is_version(version, "mxcp")
    if complaints:
        raise PolicyError(f"{file} cannot be followed", complaints=complaints)


def _known(root: Mapped, own: str) -> str:
    profiles = root.get("profiles")
    names = [entry.key for entry in profiles.entries] if isinstance(profiles, Mapped) else []
    return f"The site has: {', '.join(dict.fromkeys([own, *names]))}."


Check = Callable[[Entry, str], Iterator[Complaint]]


def _complaints(root: Mapped) -> Iterator[Complaint]:
    for key in ("project", "profile"):
        if root.entry(key) is None:
            yield Complaint(root.origin, f"`{key}` is missing", f"Add `{key}: NAME`.")
    checks: Mapping[str, Check] = {
        "mxcp": _is_version, "project": _is_name, "profile": _is_name, "profiles": _are_profiles, "paths": _are_paths,
    }  # fmt: skip
    for entry in root.entries:
        near = None if entry.key in _TOP else nearest(entry.key, _TOP, _SLIP)
        if near is not None:
            yield Complaint(entry.origin, f"unknown key `{entry.key}`", f"Did you mean `{near}`?")
        elif entry.key in checks:
            yield from checks[entry.key](entry, entry.key)


def _is_version(entry: Entry, path: str) -> Iterator[Complaint]:
    data = entry.node.value if isinstance(entry.node, Scalar) else None
    if isinstance(data, bool) or data != 1:
        yield Complaint(entry.origin, f"`{path}` must be the number 1", "Write `mxcp: 1`; see MXCP's migration guide.")


def _is_name(entry: Entry, path: str) -> Iterator[Complaint]:
    if not _text(entry.node).strip():
        yield Complaint(entry.origin, f"`{path}` must be a name", "Put it in quotes if it looks like a number.")


def _are_profiles(entry: Entry, path: str) -> Iterator[Complaint]:
    if _is_nothing(entry.node):
        return
    if not isinstance(entry.node, Mapped):
        yield Complaint(entry.origin, f"`{path}` must be a mapping of profiles")
        return
    for profile in entry.node.entries:
        here = f"{path}.{profile.key}"
        yield from _only(profile, here, _PROFILE)
        audit = profile.node.entry("audit") if isinstance(profile.node, Mapped) else None
        if audit is not None:
            yield from _is_audit(audit, f"{here}.audit")


def _is_audit(entry: Entry, path: str) -> Iterator[Complaint]:
    yield from _only(entry, path, _AUDIT)
    for each in entry.node.entries if isinstance(entry.node, Mapped) else ():
        match each.key:
            case "enabled" if _switch(each.node) is None:
                yield Complaint(each.origin, f"`{path}.enabled` must be true or false")
            case "path" if not _is_nothing(each.node) and not _text(each.node).strip():
                yield Complaint(each.origin, f"`{path}.path` must be the path of a file")
            case "path" if "\0" in _text(each.node):
                yield Complaint(each.origin, f"`{path}.path` has a NUL character in it")
            case "max_file_size" if not _is_integer(each.node):
                yield Complaint(each.origin, f"`{path}.max_file_size` must be a number of bytes")
            case _:
                pass


def _are_paths(entry: Entry, path: str) -> Iterator[Complaint]:
    audit = entry.node.entry("audit") if isinstance(entry.node, Mapped) else None
    if audit is not None and not _text(audit.node).strip():
        yield Complaint(audit.origin, f"`{path}.audit` must be the path of a folder")


def _only(entry: Entry, path: str, known: tuple[str, ...]) -> Iterator[Complaint]:
    if not isinstance(entry.node, Mapped):
        yield Complaint(entry.origin, f"`{path}` must be a mapping of {', '.join(f'`{name}`' for name in known)}")
        return
    for each in entry.node.entries:
        if each.key not in known:
            yield Complaint(each.origin, f"unknown key `{path}.{each.key}`", did_you_mean(each.key, known))


def _text(node: Node | None) -> str:
    """The text that stands there; empty if there is none, or something else."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""


def _switch(node: Node | None) -> bool | None:
    """Whether something is on, in every spelling that the original takes. None if it is no such thing."""
    if not isinstance(node, Scalar) or not isinstance(node.value, bool | int | str):
        return None
    return _WORDS.get(str(node.value).lower())


def _is_integer(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool)


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None
