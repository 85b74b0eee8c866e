"""What a run of a policy needs of the machine: programs, paths, the network, variables. No store is opened for it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapse.engine.session import Session
from lapse.errors import UsageError
from lapse.model.masking import masked
from lapse.model.policy import Dataset, Schedule
from lapse.policyfile.addresses import FILE_SCHEMES
from lapse.policyfile.merge import FOLDER, files_of, yaml_files
from lapse.policyfile.patterns import start_of
from lapse.policyfile.secrets import variables_in
from lapse.registry import open_target
from lapse.state.folders import SYSTEM_ROOT

_FROM_A_FILE = re.compile(r"""[\s'"]file:(?!//)(?P<path>[^\s'",}]+)""")
_NAMING_FILES = ("--metrics", "--plan", "--stop-file")
"""Options of `lapse run` with a path, which may be relative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a run of a policy needs.

    Attributes:
        policy: The policy file, absolute.
        name: What the units are called.
        schedule: When runs are to happen.
        program: How to call Lapse from anywhere.
        arguments: Arguments of `lapse run`, their paths absolute.
        user: User to run as.
        state: The state folder.
        stores: Folders where stores lie on this machine, which are written to.
        archives: Folders of archives and of the ledger, which are written to.
        outputs: Folders that the arguments write to.
        files: The policy's own files, relative to its folder, which are read.
        folders: Folders in which further files of the policy are looked for, such as holds; they need not be there yet.
        variables: Names of environment variables that the policy refers to.
        has_logs: Whether there are text logs, whose writers must be visible.
        network: Whether a store or archive lies elsewhere, or a notification command is called.
    """

    policy: Path
    name: str
    schedule: Schedule
    program: tuple[str, ...]
    arguments: tuple[str, ...]
    user: str
    state: Path
    stores: tuple[Path, ...]
    archives: tuple[Path, ...]
    outputs: tuple[Path, ...]
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    variables: tuple[str, ...]
    has_logs: bool
    network: bool

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command of a run."""
        return (*self.program, "--policy", str(self.policy), "run", *self.arguments)

    @property
    def spread(self) -> tuple[str, ...]:
        """Arguments for the schedule's jitter, where what starts the runs has none of its own."""
        jitter = self.schedule.jitter
        return ("--jitter", f"{jitter:.0f}s") if jitter else ()

    @property
    def written(self) -> tuple[Path, ...]:
        """Every folder that is written to, none below another; the state folder first."""
        folders = dict.fromkeys((self.state, *self.stores, *self.archives, *self.outputs))
        return tuple(each for each in folders if not any(other in each.parents for other in folders))

    @property
    def missing(self) -> tuple[Path, ...]:
        """Folders that are written to and not there yet, the state folder aside."""
        return tuple(each for each in self.written if each != self.state and not each.is_dir())


def needs_of(session: Session, *, name: str, user: str, arguments: Sequence[str], system: bool) -> Needs:
    """What runs of the session's policy need.

    Arguments:
        session: Whose policy it is.
        name: What the units are to be called.
        user: User to run as.
        arguments: Arguments of `lapse run`.
        system: Whether the machine's own service manager runs it, not the user's.

    Raises:
        UsageError: If the policy has no schedule.
    """
    policy, schedule = session.policy, session.policy.schedule
    if schedule is None:
        hint = "Add one to the policy, like `schedule: {daily at: 02:00, jitter: 30m}`."
        raise UsageError(f"{policy.file} does not say when runs are to happen", hint=hint)
    files, words = tuple(_files(session)), tuple(_with_whole_paths(arguments))
    locations = [open_target(archive).location() for archive in policy.archives.values()]
    return Needs(
        policy=Path(session.scope),
        name=name,
        schedule=schedule,
        program=program(),
        arguments=words,
        user=user,
        state=_state(session, user, system=system),
        stores=tuple(dict.fromkeys(each for d in policy.datasets.values() for each in _folders(d))),
        archives=tuple(dict.fromkeys(each for each in (*locations, session.folders.ledger_folder) if each is not None)),
        outputs=tuple(_outputs(words)),
        files=files,
        folders=tuple(_looked_into(session)),
        variables=_variables(session, files),
        has_logs=any(dataset.table is None for dataset in policy.datasets.values()),
        network=_network(session, locations),
    )


def program() -> tuple[str, ...]:
    """How to call Lapse from anywhere: where it is installed beside this Python, or as a module of it."""
    found = shutil.which("lapse", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return (found,) if found else (sys.executable, "-m", "lapse")


def inline_secrets(needs: Needs) -> Iterator[str]:
    """Places of the policy where a password stands in plain text, which no manifest may carry away."""
    for file in needs.files:
        text = (needs.policy.parent / file).read_text(encoding="utf-8")
        yield from (f"{file}:{n}" for n, line in enumerate(text.splitlines(), 1) if masked(line) != line)


def secret_files(needs: Needs) -> tuple[str, ...]:
    """The files from which the policy takes whole addresses, as it names them: ``file:PATH``."""
    texts = ((needs.policy.parent / file).read_text(encoding="utf-8") for file in needs.files)
    return tuple(dict.fromkeys(found["path"] for text in texts for found in _FROM_A_FILE.finditer(text)))


def _state(session: Session, user: str, *, system: bool) -> Path:
    """The state folder of *user*, who need not be the one who asks."""
    if "LAPSE_STATE_DIR" in os.environ or not system or user == current_user():
        return session.folders.root
    return SYSTEM_ROOT


def current_user() -> str:
    """The name of the user who asks."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container may run as a number without a name
        return str(os.geteuid())


def _folders(dataset: Dataset) -> Iterator[Path]:
    """The folders of a store on this machine: locks and journals lie beside the files, so folders are written to."""
    path = _local(dataset)
    if path is not None:
        yield Path(start_of(path))
    if dataset.files is not None:
        yield Path(dataset.files.under)


def _local(dataset: Dataset) -> str | None:
    """The file or glob of a dataset on this machine. None where it is a server's."""
    scheme, separator, rest = dataset.store.partition("://")
    if not separator:
        return dataset.store
    return rest[1:] if scheme in FILE_SCHEMES else None


def _with_whole_paths(arguments: Sequence[str]) -> Iterator[str]:
    """Runs begin in another folder than the one from which the arguments were given."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, separator, value = argument.partition("=")
        if before in _NAMING_FILES:
            yield str(Path(argument).absolute())
        elif separator and option in _NAMING_FILES:
            yield f"{option}={Path(value).absolute()}"
        else:
            yield argument


def _outputs(arguments: Sequence[str]) -> Iterator[Path]:
    """Folders of the files that the arguments of a run name for writing."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument == "--metrics" and following:
            yield Path(following).parent
        elif argument.startswith("--metrics="):
            yield Path(argument.partition("=")[2]).parent


def _files(session: Session) -> Iterator[Path]:
    folder = Path(session.policy.folder)
    for file in (*files_of(Path(session.scope)), *yaml_files(session.holds_folder)):
        yield file.relative_to(folder)


def _looked_into(session: Session) -> Iterator[Path]:
    """A hold may come at any time, into a folder that is not there yet."""
    yield session.holds_folder
    more = Path(session.policy.folder) / FOLDER
    if more.is_dir():
        yield more


def _variables(session: Session, files: Sequence[Path]) -> tuple[str, ...]:
    texts = ((Path(session.policy.folder) / file).read_text(encoding="utf-8") for file in files)
    return tuple(dict.fromkeys(name for text in texts for name in variables_in(text)))


def _network(session: Session, locations: Sequence[Path | None]) -> bool:
    notify = session.policy.notify
    elsewhere = any(_local(dataset) is None for dataset in session.policy.datasets.values())
    return elsewhere or None in locations or bool(notify.on_failure or notify.on_success)
