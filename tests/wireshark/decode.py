"""Wireshark's dissector reads what `mayfly demo` said on the network: decode.py BINARY

Every message must be decoded, none may be malformed, and what is read must be what the demonstration reports.
"""

import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PREFERENCES = {
    "iso8583.len_endian": "Big endian",
    "iso8583.charset": "Digits represented as ASCII Characters",
    "iso8583.binencode": "Bin data represented as Hex Ascii characters",
}
# The severity of a remark from which on something is wrong; that a connection begins or ends is remarked, too.
WARNING = 0x600000
# The capture has the listener at this port, wherever it was.
PORT = 8583


def tshark(capture, *words):
    preferences = [word for name, value in PREFERENCES.items() for word in ("-o", f"{name}:{value}")]
    command = ["tshark", "-n", "-r", capture, "-d", f"tcp.port=={PORT},iso8583", *preferences, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def decoded(capture, element):
    """The element in every message, in the order in which they were sent."""
    rows = tshark(capture, "-Y", "iso8583", "-T", "fields", "-E", "aggregator=|", "-e", element)
    return [value for row in rows.splitlines() for value in row.split("|")]


def main(binary):
    with tempfile.TemporaryDirectory() as directory:
        capture = str(Path(directory) / "demo.pcap")
        done = subprocess.run(
            [binary, "--json", "demo", "--pcap", capture], check=True, capture_output=True, text=True, timeout=300
        )
        steps = json.loads(done.stdout)["steps"]
        mtis = decoded(capture, "iso8583.mti")
        expected = [side["mti"] for step in steps for side in (step["request"], step["answer"])]
        assert mtis == expected, f"read {mtis}, and {expected} was sent"
        codes = [code for code in decoded(capture, "iso8583.bit39") if code]
        assert codes == [step["got"] for step in steps], codes
        for problem in ("_ws.malformed", f"_ws.expert.severity >= {WARNING:#x}"):
            found = tshark(capture, "-Y", problem, "-V")
            assert not found, found
    counts = ", ".join(f"{count} × {mti}" for mti, count in sorted(collections.Counter(mtis).items()))
    print(f"{len(mtis)} messages decoded: {counts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
