"""The ceremony at a real terminal: what is shown, and what is not."""

import os
import pty
import re
import select
import subprocess
import termios

import pytest

PATIENCE_S = 30


class Terminal:
    """A command with a terminal of its own, and all that was written there."""

    def __init__(self, command):
        self.master, slave = pty.openpty()
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAYFLY_")}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        self.shown = ""
        self.seen = 0

    def read(self):
        """More of what it shows; nothing if it has ended."""
        assert select.select([self.master], [], [], PATIENCE_S)[0], f"it says no more: {self.shown!r}"
        try:
            read = os.read(self.master, 4096).decode()
        except OSError:  # The other side is closed.
            read = ""
        self.shown += read
        return read

    def until(self, text):
        """Reads until that is shown, after what was waited for before."""
        while (at := self.shown.find(text, self.seen)) < 0:
            assert self.read(), f"it ended before {text!r}: {self.shown!r}"
        self.seen = at + len(text)

    def type(self, text):
        os.write(self.master, text.encode() + b"\n")

    def end(self):
        while self.read():
            pass
        os.close(self.master)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def mayfly(request, tmp_path):
    binary = os.path.abspath(request.config.getoption("--binary"))
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    wrapped = 'source = "wrapping-key"\nwrapping_key_file = "../wrapping.key"\n'
    (data / "mayfly.toml").write_text(f"[keys]\n{wrapped}")
    return lambda *words: Terminal([binary, "--data-dir", str(data), *words])


def component(mayfly):
    terminal = mayfly("keys", "component")
    assert terminal.end() == 0
    digits = re.search(r"component +((?:[0-9a-f]{4} ?){16})", terminal.shown).group(1).strip()
    check = re.search(r"check value +([0-9a-f]{6})", terminal.shown).group(1)
    assert "not shown again" in terminal.shown
    return digits, check


def test_what_custodians_type_is_not_shown(mayfly):
    """Two custodians at a terminal. One of them makes a slip, and tries again."""
    components = [component(mayfly), component(mayfly)]
    assert components[0] != components[1]
    wrapping = mayfly("keys", "wrapping-key")
    assert wrapping.end() == 0, wrapping.shown

    terminal = mayfly("keys", "combine")
    (first, first_check), (second, second_check) = components
    for digits, check, slip in [(first, second_check, True), (first, first_check, False), (second, second_check, False)]:
        terminal.until("component (it is not shown): ")
        terminal.type(digits)
        terminal.until("check value: ")
        terminal.type(check)
        if slip:
            terminal.until("try again")
    assert terminal.end() == 0, terminal.shown
    for digits in (first, second):
        assert digits not in terminal.shown and digits[:9] not in terminal.shown
    made = re.search(r"check value +([0-9a-f]{6})", terminal.shown.rsplit("check value: ")[-1]).group(1)
    check = mayfly("keys", "check")
    assert check.end() == 0 and made in check.shown


def test_a_terminal_is_as_it_was_afterwards(mayfly):
    """Also if what was typed came to nothing."""
    wrapping = mayfly("keys", "wrapping-key")
    assert wrapping.end() == 0
    terminal = mayfly("keys", "combine")
    terminal.until("component (it is not shown): ")
    terminal.type("0" * 600)
    terminal.until("longer than")
    assert termios.tcgetattr(terminal.master)[3] & termios.ECHO
    assert terminal.end() == 2
