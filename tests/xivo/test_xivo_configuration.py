"""How the configuration is put together: which file counts, what is merged, what is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapse.dialects.xivo.settings import Settings, load
from lapse.errors import PolicyError


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write *files* below *folder*, which stands for ``/etc``."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def settings(folder: Path, files: dict[str, str], days: int | None = None) -> Settings:
    """What *files* say."""
    return load(write(folder, files), days=days, foreign=())


def test_what_is_built_in_is_what_the_original_has(tmp_path: Path) -> None:
    """Without any file: 365 days, six purgers in their order, no archive, and a warning."""
    found = settings(tmp_path, {})

    assert found.days == 365
    assert found.purgers == ("cel", "queue-log", "stat-agent", "stat-call-on", "stat-queue", "stat-switchboard")
    assert found.archives == ()
    assert found.address == "postgresql://asterisk:proformatique@localhost/asterisk"
    assert found.shown == "postgresql://asterisk:***@localhost/asterisk"
    assert str(found.pid_file) == "/run/wazo-purge-db.pid"
    assert str(found.log_file) == "/var/log/wazo-purge-db.log"
    assert not found.debug
    assert (found.archive, found.ledger) == (None, None)
    assert "there is no" in found.warnings[0]


def test_the_folder_of_wazo_counts_before_that_of_xivo(tmp_path: Path) -> None:
    """Only where there is no config.yml in the one does the other count, with its own conf.d."""
    files = {
        "wazo-purge-db/config.yml": "days_to_keep: 1",
        "xivo-purge-db/config.yml": "days_to_keep: 2",
        "xivo-purge-db/conf.d/a.yml": "debug: true",
    }
    assert settings(tmp_path / "both", files).days == 1
    assert not settings(tmp_path / "both", files).debug

    del files["wazo-purge-db/config.yml"]
    assert settings(tmp_path / "one", files).days == 2
    assert settings(tmp_path / "one", files).debug


def test_the_command_line_counts_before_all_files(tmp_path: Path) -> None:
    """But only for `days_to_keep`, not for what a purger has of its own."""
    files = {
        "wazo-purge-db/config.yml": "days_to_keep: 3\ndays_to_keep_per_plugin: {cel: 4}",
        "wazo-purge-db/conf.d/a.yml": "days_to_keep: 2",
    }
    found = settings(tmp_path, files, days=1)

    assert found.days == 1
    assert found.days_for("queue-log") == 1
    assert found.days_for("cel") == 4
    assert found.merged["days_to_keep"] == 1


def test_the_first_file_of_conf_d_wins_by_code_point(tmp_path: Path) -> None:
    """`Z` stands before `a`, `10` before `9`, and conf.d before config.yml."""
    files = {
        "wazo-purge-db/config.yml": "days_to_keep: 1\nlog_file: /from/config",
        "wazo-purge-db/conf.d/a.yml": "days_to_keep: 2\npid_file: /from/a\nmine: a",
        "wazo-purge-db/conf.d/Z.yml": "days_to_keep: 3\nmine: Z",
        "wazo-purge-db/conf.d/9.yml": "days_to_keep: 4\npid_file: /from/9",
        "wazo-purge-db/conf.d/10.yml": "days_to_keep: 5",
    }
    found = settings(tmp_path, files)

    assert found.days == 5
    assert str(found.pid_file) == "/from/9"
    assert found.merged["mine"] == "Z"
    assert str(found.log_file) == "/from/config"


def test_mappings_are_merged_at_every_level_and_nothing_else(tmp_path: Path) -> None:
    """Lists and values replace one another."""
    files = {
        "wazo-purge-db/config.yml": "enabled_plugins: {purgers: {cel: false, queue-log: false}, archives: [a, b]}\n"
        "mine: {deep: {one: 1, two: [1, 2]}}\ndays_to_keep_per_plugin: {cel: 7, stat-agent: 8}",
        "wazo-purge-db/conf.d/a.yml": "enabled_plugins: {purgers: {cel: true}, archives: [c]}\n"
        "mine: {deep: {two: [3]}}\ndays_to_keep_per_plugin: {cel: 9}",
        "wazo-purge-db/conf.d/b.yml": "mine: {deep: {three: 3, two: [4]}}",
    }
    found = settings(tmp_path, files)

    assert found.purgers == ("cel", "stat-agent", "stat-call-on", "stat-queue", "stat-switchboard")
    assert found.archives == ("c",)
    assert found.days_of == {"cel": 9, "stat-agent": 8}
    assert found.merged["mine"] == {"deep": {"one": 1, "two": [3], "three": 3}}


@pytest.mark.parametrize("name", [".hidden.yml", "x.yaml", "x.yml.dpkg-old", "x.YML", "yml"])
def test_names_that_the_original_passes_over_are_passed_over(tmp_path: Path, name: str) -> None:
    """Even if what is in them is no configuration at all."""
    files = {"wazo-purge-db/config.yml": "days_to_keep: 1", f"wazo-purge-db/conf.d/{name}": "days_to_keep: [2"}

    assert settings(tmp_path, files).days == 1


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "---\n...\n", "\ufeff"])
def test_empty_files_are_fine(tmp_path: Path, text: str) -> None:
    """They say nothing, as config.yml and in conf.d."""
    files = {"wazo-purge-db/config.yml": text, "wazo-purge-db/conf.d/a.yml": text}

    assert settings(tmp_path, files).days == 365


def test_the_folder_of_overrides_can_be_moved(tmp_path: Path) -> None:
    """Then conf.d beside the configuration does not count; a relative path starts at the configuration."""
    for number, path in enumerate(["../elsewhere", str(tmp_path / "1" / "elsewhere")]):
        files = {
            "wazo-purge-db/config.yml": f"extra_config_files: {path}",
            "wazo-purge-db/conf.d/a.yml": "days_to_keep: 1",
            "elsewhere/a.yml": "days_to_keep: 2",
        }
        assert settings(tmp_path / str(number), files).days == 2


def test_moving_the_folder_from_within_it_is_told(tmp_path: Path) -> None:
    """The key counts in config.yml only; elsewhere it is a warning."""
    files = {"wazo-purge-db/config.yml": "", "wazo-purge-db/conf.d/a.yml": "extra_config_files: /elsewhere"}

    assert any("counts in config.yml only" in text for text in settings(tmp_path, files).warnings)


def test_the_documented_name_of_a_purger_is_taken_with_a_warning(tmp_path: Path) -> None:
    """`stat-call` is really `stat-call-on`, wherever a purger is named; file and line are told."""
    files = {
        "wazo-purge-db/config.yml": "enabled_plugins:\n  purgers:\n    stat-call: false\n",
        "wazo-purge-db/conf.d/a.yml": "days_to_keep_per_plugin: {stat-call: 7}",
    }
    found = settings(tmp_path, files)

    assert "stat-call-on" not in found.purgers
    assert found.days_for("stat-call-on") == 7
    assert any("config.yml:3:5: `stat-call` is really called `stat-call-on`" in text for text in found.warnings)
    assert len(found.warnings) == 2


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("postgresql+psycopg2://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgres://u:p@h:5433/d?sslmode=require", "postgresql://u:p@h:5433/d?sslmode=require"),
        ("postgresql://h/d", "postgresql://h/d"),
    ],
)
def test_an_address_of_sqlalchemy_is_understood(tmp_path: Path, written: str, address: str) -> None:
    """The name of a driver is left out, the rest stays byte for byte."""
    assert settings(tmp_path, {"wazo-purge-db/config.yml": f"db_uri: {written}"}).address == address


def test_words_mean_what_they_mean_in_the_original(tmp_path: Path) -> None:
    """It reads YAML 1.1, in which `off` is false; a plug-in's own keys keep their types."""
    text = "enabled_plugins: {purgers: {cel: off}}\nmine: {when: 2026-01-31, ratio: 0.5, mode: 0o7, on: null}"
    found = settings(tmp_path, {"wazo-purge-db/config.yml": text})

    assert "cel" not in found.purgers
    assert str(found.merged["mine"]["when"]) == "2026-01-31"
    assert found.merged["mine"]["ratio"] == 0.5
    assert found.merged["mine"]["on"] is None


def test_a_copy_for_a_plug_in_is_a_copy(tmp_path: Path) -> None:
    """Whatever it does to it, the next one gets what was written."""
    found = settings(tmp_path, {"wazo-purge-db/config.yml": "mine: {list: [1]}"}, days=9)

    copy = found.copy_for_plugin()
    copy["mine"]["list"].append(2)
    copy["days_to_keep"] = 0
    copy.clear()

    assert found.copy_for_plugin()["mine"] == {"list": [1]}
    assert found.copy_for_plugin()["days_to_keep"] == 9
    assert found.days == 9


def test_an_address_without_a_scheme_is_refused_without_being_shown(tmp_path: Path) -> None:
    """It could be a file of text logs; and it may hold a password."""
    with pytest.raises(PolicyError) as caught:
        settings(tmp_path, {"wazo-purge-db/config.yml": "db_uri: user:secret@host"})

    assert "db_uri" in str(caught.value)
    assert "secret" not in f"{caught.value}{caught.value.hint}"
