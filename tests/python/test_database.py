"""An installation in a database: made once, joined by whoever has its root key. Only for PostgreSQL: what is in files is
one directory's own."""

import json
import os
import shutil
import subprocess

import pytest

import stores


@pytest.fixture
def store(request):
    """An empty database."""
    if request.config.getoption("--store") != "postgres":
        pytest.skip("what is in files can't be joined")
    return stores.make(None)


@pytest.fixture
def init(request, tmp_path):
    """Runs `mayfly init` for a directory; gives its exit code and what it said."""
    binary = os.path.abspath(request.config.getoption("--binary"))

    def init(name, *words):
        done = subprocess.run(
            [binary, "--json", "--data-dir", str(tmp_path / name), "init", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout or done.stderr)

    return init


def copy_key(tmp_path, source, target):
    (tmp_path / target).mkdir(mode=0o700)
    shutil.copy(tmp_path / source / "root.key", tmp_path / target / "root.key")


def files(tmp_path, name):
    return {path.name for path in (tmp_path / name).iterdir()}


def test_the_data_directory_has_what_is_not_in_the_database(store, init, tmp_path):
    code, made = init("a", *store.options)
    assert code == 0, made
    assert made["database"] == store.url
    assert files(tmp_path, "a") == {"mayfly.toml", "root.check", "root.key"}
    assert f'url = "{store.url}"' in (tmp_path / "a" / "mayfly.toml").read_text()
    assert store.written().keys() >= {"mayfly_journal"}


def test_an_installation_is_made_once(store, init, tmp_path):
    code, made = init("a", *store.options)
    assert code == 0, made
    before = store.written()
    code, said = init("b", *store.options)
    assert code == 1 and "has an installation already" in said["error"]["message"], said
    assert made["check_value"] in said["error"]["message"]
    assert not (tmp_path / "b" / "root.key").exists() and not (tmp_path / "b" / "mayfly.toml").exists()
    assert store.written() == before


def test_whoever_has_the_root_key_joins(store, init, tmp_path):
    code, made = init("a", *store.options)
    assert code == 0, made
    before = store.written()
    copy_key(tmp_path, "a", "b")
    code, joined = init("b", "--join", *store.options)
    assert code == 0 and joined["check_value"] == made["check_value"], joined
    assert files(tmp_path, "b") == {"mayfly.toml", "root.check", "root.key"}
    assert store.written() == before
    code, said = init("b", "--join")
    assert code == 1 and "root.check is there already" in said["error"]["message"], said


def test_nobody_joins_with_another_root_key(store, init, tmp_path):
    code, made = init("a", *store.options)
    assert code == 0, made
    code, other = init("other", *stores.make(None).options)
    assert code == 0, other
    copy_key(tmp_path, "other", "b")
    code, said = init("b", "--join", *store.options)
    assert code == 1 and made["check_value"] in said["error"]["message"], said
    assert files(tmp_path, "b") == {"root.key"}
    code, said = init("c", "--join", *store.options)
    assert code == 3 and "root.key" in said["error"]["message"], said


def test_an_empty_database_can_not_be_joined(store, init, tmp_path):
    code, made = init("other", *stores.make(None).options)
    assert code == 0, made
    copy_key(tmp_path, "other", "b")
    code, said = init("b", "--join", *store.options)
    assert code == 1 and "there is no installation in" in said["error"]["message"], said
    assert store.written() == {}
