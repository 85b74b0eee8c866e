"""lapse.policyfile: references to secrets, and that no secret comes out again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from policy_helpers import complaints, dataset, only, place, write

from lapse.errors import PolicyError
from lapse.model.masking import masked
from lapse.model.policy import Dataset
from lapse.policyfile import effective, load

SECRET = "hunter2-never-show"


def test_a_variable_stands_in_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store gets the value, everything that is shown gets the reference."""
    monkeypatch.setenv("LAPSE_TEST_PW", SECRET)
    path = dataset(tmp_path, "table: t", store="postgresql://u:${LAPSE_TEST_PW}@h/d")

    policy = load(path)

    found = policy.datasets["log"]
    assert found.store == f"postgresql://u:{SECRET}@h/d"
    assert found.shown == "postgresql://u:***@h/d"
    assert SECRET not in repr(policy)
    assert SECRET not in repr(effective(path))


def test_a_whole_address_can_be_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its name is all that is shown; the policy's hash does not know it either."""
    monkeypatch.setenv("LAPSE_TEST_DSN", f"postgresql://u:{SECRET}@h/d")
    path = dataset(tmp_path, "table: t", store="${LAPSE_TEST_DSN}")
    policy = load(path)
    assert policy.datasets["log"].store == f"postgresql://u:{SECRET}@h/d"
    assert policy.datasets["log"].shown == "${LAPSE_TEST_DSN}"

    monkeypatch.setenv("LAPSE_TEST_DSN", "postgresql://u:other@h/d")
    assert load(path).digest == policy.digest


@pytest.mark.parametrize("relative", [True, False])
def test_an_address_can_lie_in_a_file(tmp_path: Path, relative: bool) -> None:
    """`file:PATH` is one line of that file; relative paths start at the policy."""
    secret = tmp_path / "dsn"
    secret.write_text(f"mysql://u:{SECRET}@h/d\n")
    reference = "file:dsn" if relative else f"file:{secret}"
    path = dataset(tmp_path, "table: t", store=reference)
    path.write_text(path.read_text().replace("./archive", "file:target"))
    (tmp_path / "target").write_text(f"s3://key:{SECRET}@bucket/x")

    policy = load(path)

    assert policy.datasets["log"].store == f"mysql://u:{SECRET}@h/d"
    assert policy.datasets["log"].shown == reference
    assert (policy.archives["cold"].to, policy.archives["cold"].shown) == (f"s3://key:{SECRET}@bucket/x", "file:target")
    assert SECRET not in repr(policy) + repr(effective(path))


@pytest.mark.parametrize(
    ("store", "message", "hint"),
    [
        ("postgresql://u:${LAPSE_TEST_NONE}@h/d", "the environment variable LAPSE_TEST_NONE is not set", "Set"),
        ("${LAPSE_TEST_EMPTY}", "the environment variable LAPSE_TEST_EMPTY is empty", "Set"),
        ("logs/${not a name}.jsonl", "`${` begins no `${NAME}`", "$${"),
        ("logs/${OPEN", "`${` begins no `${NAME}`", "$${"),
        ("file:nowhere", "`file:nowhere` names no file", "path of a file"),
        ("file:.", "`file:.` names no file", "path of a file"),
        ("file:empty", "does not hold exactly one line", "alone"),
        ("file:two", "does not hold exactly one line", "alone"),
        ("file:binary", "is not UTF-8 text", "alone"),
        ("${LAPSE_TEST_BAD}", "`${LAPSE_TEST_BAD}` has an unknown scheme", "`postgresql`"),
        ("file:bad", "`file:bad` has an unknown scheme", "`postgresql`"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_complaint_without_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, message: str, hint: str
) -> None:
    """What is missing is named by its reference; what was found is never quoted, in no text of the error."""
    monkeypatch.delenv("LAPSE_TEST_NONE", raising=False)
    monkeypatch.setenv("LAPSE_TEST_EMPTY", "")
    monkeypatch.setenv("LAPSE_TEST_BAD", f"postgres://u:{SECRET}@h/d")
    (tmp_path / "bad").write_text(f"postgres://u:{SECRET}@h/d")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text(f"{SECRET}\n{SECRET}\n")
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff")
    path = dataset(tmp_path, "keep: forever", store=f"'{store}'")

    complaint = only(path)

    assert message in complaint.message
    assert hint in (complaint.hint or "")
    assert place(complaint) == (5, 12)
    assert SECRET not in repr(complaint)


@pytest.mark.parametrize("text", ["tenant: ${LAPSE_TEST_PW}", "expect: x${LAPSE_TEST_PW}", "time zone: ${UTC}"])
def test_a_reference_elsewhere_is_refused(tmp_path: Path, text: str) -> None:
    """Only addresses are never written down again, so a reference may stand nowhere else."""
    said = [each.message for each in complaints(dataset(tmp_path, text))]
    assert any("is replaced in `store`, `to`, `under` and `ledger` only" in message for message in said)


def test_two_dollars_are_one(tmp_path: Path) -> None:
    """`$${` is the text `${`, in addresses and everywhere else; any other dollar is itself."""
    path = dataset(
        tmp_path, "tenant: a$${x}\nkeep: [{$.a.b: '$${x}', c: $5, for: forever}]", store="logs/$${x}$y.jsonl"
    )
    found = load(path).datasets["log"]
    assert found.store == f"{tmp_path}/logs/${{x}}$y.jsonl"
    assert [condition.values for condition in found.rules[0].match.conditions] == [("${x}",), ("$5",)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:secret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se:cr/e@t@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:secret@h/d", "postgresql://:***@h/d"),
        ("postgresql://u@h/d?password=secret&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("s3://b/x?secret_access_key=secret", "s3://b/x?secret_access_key=***"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("/var/log/a:b@c.jsonl", "/var/log/a:b@c.jsonl"),
    ],
)
def test_passwords_are_masked_wherever_an_address_is_shown(text: str, shown: str) -> None:
    """Passwords in URLs and in their settings become ***; users, hosts and paths stay."""
    assert masked(text) == shown


def test_a_password_in_a_wrong_place_is_masked_too(tmp_path: Path) -> None:
    """Whatever the mistake is about, no complaint and no traceback quotes a password."""
    url = f"postgresql://u:{SECRET}@h/d"
    path = write(
        tmp_path,
        f"""\
        version: '{url}'
        '{url}': 1
        ledger: '{url}'
        archives: {{'{url}': {{to: 'x4://u:{SECRET}@h'}}}}
        datasets:
          a: {{store: ['{url}'], time: at, keep: '{url}', archive: '{url}', time zone: '{url}', '{url}': 1}}
          b: {{store: '{url}', time: at, type: '$.{url}', keep: [{{type: 1.5, '{url}': , for: '{url}'}}]}}
        floors: [{{match: {{dataset: '{url}'}}, at least: '{url}', because: x}}, '{url}']
        holds: [{{matter: '{url}', match: '{url}', since: '{url}'}}, {{matter: '{url}', match: all}}]
        guards: {{share: '{url}', rows: '{url}', '{url}': 1}}
        """,
    )
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert len(caught.value.complaints) > 15
    shown = "".join(repr(each) for each in caught.value.complaints)
    assert SECRET not in shown + repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


@pytest.mark.parametrize("other", ["postgresql://lapse:new@db/logs", "postgresql://lapse:@db/logs"])
def test_a_changed_password_is_no_other_store(other: str) -> None:
    """What was journalled before a crash is settled after it, though the password was changed in between."""
    one = Dataset(name="calls", store="postgresql://lapse:old@db/logs", shown="", time="at")

    assert replace(one, store=other).store_id == one.store_id
    assert replace(one, store="postgresql://lapse:old@db/other").store_id != one.store_id
