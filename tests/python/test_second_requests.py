"""What issuer hosts are sent is read by others as it was meant (A35): pyiso8583, and Wireshark's dissector.

The messages are the known answers of the tests of `mayfly-network`, which makes the same bytes.
"""

import subprocess
from pathlib import Path

import iso8583
import pytest
from iso8583.specs import default_ascii as SPEC

KNOWN = Path(__file__).parents[2] / "crates/network/src/host/messages/known.txt"
PREFERENCES = {
    "iso8583.len_endian": "Big endian",
    "iso8583.charset": "Digits represented as ASCII Characters",
    "iso8583.binencode": "Bin data represented as Hex Ascii characters",
}
REQUEST = {
    "2": "4761739001010119",
    "3": "000000",
    "4": "000000002498",
    "7": "1123135606",
    "12": "085606",
    "13": "1123",
    "14": "2912",
    "18": "5942",
    "19": "840",
    "22": "812",
    "32": "990001",
    "37": "FFKQT4YC5T82",
    "41": "TILL0001",
    "42": "BOOKSHOP-1     ",
    "49": "840",
}
EXPECTED = {
    "second request": {"t": "0100", "11": "300308", **REQUEST},
    "reversal": {
        "t": "0420",
        "11": "846421",
        **REQUEST,
        "90": "0100" + "300308" + "1123135606" + "00000990001" + "00000000000",
    },
}


def known():
    return dict(line.split("|") for line in KNOWN.read_text().splitlines())


@pytest.mark.parametrize("name", EXPECTED)
def test_pyiso8583_reads_it(name):
    decoded, _ = iso8583.decode(known()[name].encode(), SPEC)
    bitmaps = {"p", "1"}
    assert {key: value for key, value in decoded.items() if key not in bitmaps} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_wireshark_reads_it(name, tmp_path):
    wire = known()[name].encode()
    framed = len(wire).to_bytes(2, "big") + wire
    dump, capture = tmp_path / "message.txt", tmp_path / "message.pcap"
    dump.write_text("000000 " + " ".join(f"{byte:02x}" for byte in framed) + "\n")
    subprocess.run(["text2pcap", "-q", "-T", "40000,8583", dump, capture], check=True, timeout=60)
    preferences = [word for key, value in PREFERENCES.items() for word in ("-o", f"{key}:{value}")]
    command = ["tshark", "-n", "-r", capture, "-d", "tcp.port==8583,iso8583", *preferences]

    def tshark(*words):
        return subprocess.run([*command, *words], check=True, capture_output=True, text=True, timeout=60).stdout

    fields = [f"iso8583.bit{key}" for key in EXPECTED[name] if key != "t"]
    read = tshark("-T", "fields", "-E", "separator=|", *(word for field in ["iso8583.mti", *fields] for word in ("-e", field)))
    assert [value.strip() for value in read.strip("\n").split("|")] == [value.strip() for value in EXPECTED[name].values()]
    assert not tshark("-Y", "_ws.malformed", "-V")
