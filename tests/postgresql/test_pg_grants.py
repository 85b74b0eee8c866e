"""What a role may not read or remove, and rows that a policy hides from it, are told before anything is removed."""

from __future__ import annotations

import pytest
from pg_looking import as_role, calls, identity, role, run

from lapse.errors import StoreError, UnsupportedError

__all__ = ["calls", "role"]


def test_a_role_that_may_not_read_is_told_the_grant(calls: str, role: str) -> None:
    """Without reading not even a plan can be made."""
    with pytest.raises(StoreError) as caught:
        identity(as_role(calls, role))

    assert caught.value.hint == f'GRANT SELECT ON cel TO "{role}";'


def test_a_role_that_may_not_delete_can_plan_and_is_told_the_grant(calls: str, role: str) -> None:
    """The plan says why a run would remove nothing."""
    run(calls, f"GRANT SELECT ON cel TO {role}")

    found = identity(as_role(calls, role))

    assert found.refusal == f'role {role} may not remove rows of cel: GRANT DELETE ON cel TO "{role}";'


def test_a_partition_that_may_not_be_deleted_from_is_named(calls: str, role: str) -> None:
    """Rows are removed from partitions themselves, so that rights on their parent are not enough."""
    run(
        calls,
        "CREATE TABLE log (LIKE cel) PARTITION BY LIST (id)",
        "CREATE TABLE log_1 PARTITION OF log DEFAULT",
        f"GRANT SELECT, DELETE ON log TO {role}",
        f"GRANT SELECT ON log_1 TO {role}",
    )

    assert "GRANT DELETE ON log_1" in (identity(as_role(calls, role), "log").refusal or "")


def test_rights_on_what_goes_along_are_asked_for(calls: str, role: str) -> None:
    """Children are locked, read and removed as well."""
    run(
        calls,
        "CREATE TABLE note (cel int REFERENCES cel ON DELETE CASCADE)",
        f"GRANT SELECT, DELETE ON cel TO {role}",
    )
    url = as_role(calls, role)

    assert "GRANT SELECT ON note" in (identity(url).refusal or "")
    run(calls, f"GRANT SELECT ON note TO {role}")
    assert "GRANT DELETE ON note" in (identity(url).refusal or "")
    run(calls, f"GRANT DELETE ON note TO {role}")
    assert "GRANT UPDATE ON cel, note" in (identity(url).refusal or "")
    run(calls, f"GRANT UPDATE (id) ON cel TO {role}", f"GRANT UPDATE ON note TO {role}")
    assert identity(url).refusal is None


def test_rows_that_a_policy_hides_stop_everything(calls: str, role: str) -> None:
    """What is not seen cannot be counted; whoever sees every row is let through."""
    run(
        calls,
        f"GRANT SELECT, DELETE ON cel TO {role}",
        "ALTER TABLE cel ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON cel USING (eventtype = 'HANGUP')",
    )

    with pytest.raises(UnsupportedError, match="row-level security may hide rows of cel"):
        identity(as_role(calls, role))
    assert identity(calls).refusal is None
    run(calls, f"ALTER ROLE {role} BYPASSRLS")
    assert identity(as_role(calls, role)).refusal is None


def test_an_owner_who_is_bound_by_policies_is_no_exception(calls: str, role: str) -> None:
    """FORCE ROW LEVEL SECURITY hides rows from the owner too."""
    run(calls, f"ALTER TABLE cel OWNER TO {role}", "ALTER TABLE cel ENABLE ROW LEVEL SECURITY")
    assert identity(as_role(calls, role)).refusal is None

    run(calls, "ALTER TABLE cel FORCE ROW LEVEL SECURITY")
    with pytest.raises(UnsupportedError):
        identity(as_role(calls, role))
    run(calls, "ALTER TABLE cel OWNER TO postgres")
