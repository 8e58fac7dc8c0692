#!/usr/bin/env python3
"""Makes rows.json: what another implementation of the chapter "Rows" of docs/format.md answers. Needs Python 3.9.

    python3 test/vectors/make_rows.py > test/vectors/rows.json

Written from the format's words, not from the TypeScript: numbers go through the decimal module.
"""
import base64
import hashlib
import json
import struct
from decimal import Context, Decimal

EXACT = Context(prec=2000, Emax=999999, Emin=-999999)


def b64(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return hashlib.sha256(data).digest()


# ------------------------------------------------------------------- numbers
def exact(text):
    value = EXACT.create_decimal(text)
    if value.is_zero():
        return Decimal(0)
    sign, digits, exponent = value.as_tuple()
    digits = list(digits)
    while digits[-1] == 0:
        digits.pop()
        exponent += 1
    value = Decimal((sign, digits, exponent))
    if len(digits) > 38 or not -130 <= value.adjusted() <= 125:
        raise ValueError(text)
    return value


def number_text(text):
    value = exact(text)
    return "0" if value == 0 else format(value, "f")


def number_bytes(text):
    value = exact(text)
    if value == 0:
        return b"\x80"
    sign, digits, _ = value.as_tuple()
    digits = list(digits) + [0] * (len(digits) % 2)
    rest = [value.adjusted() + 130]
    rest += [10 * digits[i] + digits[i + 1] + 1 for i in range(0, len(digits), 2)]
    rest += [0]
    return bytes([0x7F] + [255 - byte for byte in rest]) if sign else bytes([0x81] + rest)


# -------------------------------------------------------------------- values
def piece(data):
    return struct.pack(">I", len(data)) + data


def value_bytes(value):
    (kind, content), = value.items()
    if kind == "S":
        return b"S" + content.encode()
    if kind == "N":
        return b"N" + number_text(content).encode()
    if kind == "B":
        return b"B" + base64.b64decode(content)
    if kind == "BOOL":
        return b"T" if content else b"F"
    if kind == "NULL":
        return b"Z"
    if kind == "L":
        return b"L" + b"".join(piece(value_bytes(member)) for member in content)
    if kind == "M":
        return b"M" + b"".join(
            piece(name) + piece(value_bytes(member))
            for name, member in sorted((name.encode(), member) for name, member in content.items())
        )
    if kind == "SS":
        return b"s" + b"".join(piece(member) for member in sorted(member.encode() for member in content))
    if kind == "NS":
        return b"n" + b"".join(piece(number_text(member).encode()) for member in sorted(content, key=exact))
    if kind == "BS":
        return b"b" + b"".join(piece(member) for member in sorted(base64.b64decode(member) for member in content))
    raise ValueError(kind)


# ---------------------------------------------------------------------- keys
def key_part(value, most):
    (kind, content), = value.items()
    if kind == "N":
        return b"N" + number_bytes(content)
    plain = content.encode() if kind == "S" else base64.b64decode(content)
    tag = kind.encode()
    whole = tag + plain.replace(b"\x00", b"\x00\xff") + b"\x00\x01"
    if len(whole) <= most:
        return whole
    kept = len(plain)
    while True:
        cut = tag + plain[:kept].replace(b"\x00", b"\x00\xff") + b"\x00\x02" + sha256(plain)
        if len(cut) <= most:
            return cut
        kept -= 1


def row_key(partition, sort=None):
    part = key_part(partition, 2500)
    return sha256(part)[:2] + part + (key_part(sort, 1398) if sort else b"")


def is_hashed(partition, sort=None):
    return any(part[-34:-32] == b"\x00\x02" and len(part) >= most - 1
               for part, most in [(key_part(partition, 2500), 2500), (key_part(sort, 1398) if sort else b"", 1398)])


# --------------------------------------------------------------------- cells
def cells(item):
    made = {}
    for name, value in item.items():
        raw = name.encode()
        if len(raw) <= 16000:
            made[raw] = value_bytes(value)
        else:
            made[b"\xffn" + sha256(raw)] = piece(raw) + value_bytes(value)
    return [[qualifier.hex(), made[qualifier].hex()] for qualifier in sorted(made)]


def version(epoch, sequence_number, nonce=0):
    return f"{epoch:010d}.{int(sequence_number):040d}.{nonce:016x}"


# --------------------------------------------------------------------- cases
NINES = "9" * 38
NUMBERS = [
    "0", "-0", "0.000", "-0e10", "0E999", "1", "-1", "+1", "01", "1.0", "10", "100", "-100", "1e2", "1E+2", "100e-2", "12.3",
    "0.1", ".5", "5.", "-.5e1", "0.001", "-0.001", "99", "99.5", "100.01", "9.9", "10.1", "1.01", "-1.01", "-1.1", "1.1",
    "3.1415926535897932384626433832795028841", NINES, f"-{NINES}", f"0.{NINES}", f"9.{'9' * 37}E+125",
    f"-9.{'9' * 37}E+125", "1E-130", "-1E-130", "1.5E-130", "1E+125", "-1E+125", f"{NINES}E88", f"1{'0' * 125}",
    f"0.{'0' * 129}1", f"{'0' * 50}7{'0' * 50}e-50", "1234567890.0987654321", "1234567890123456789012345678901234567",
    "9007199254740993", "0.1000000000000000055511151231257827021",
]
REFUSED = ["1E126", "-1E126", "9E-131", "1E-131", f"{NINES}9", f"1{'0' * 37}1", f"1{'0' * 126}", "1E999999999999",
           "1E-999999999999", "", " 1", "1 ", "abc", "1e", "e5", ".", "-", "+-1", "1.2.3", "0x10", "NaN", "Infinity", "1,0", "1_0"]
TEXTS = ["", "a", "é", "\u20ac", "\ufffd", "\U0001f600", "\ue000", "\ufeffbom", "a\x00b", "\x00", "line\nbreak", "e\u0301"]
DEEP = {"S": "bottom"}
for level in range(32):
    DEEP = {"L": [DEEP]} if level % 2 else {"M": {"d": DEEP}}
VALUES = (
    [{"S": text} for text in TEXTS]
    + [{"N": text} for text in ["0", "1.50", "-1E-130", f"9.{'9' * 37}E+125", "1e3"]]
    + [{"B": b64(data)} for data in [b"", b"\x00", b"\x00\xff", bytes(range(256))]]
    + [{"BOOL": True}, {"BOOL": False}, {"NULL": True}]
    + [{"L": []}, {"L": [{"S": "a"}, {"NULL": True}]}, {"L": [{"L": [{"L": []}]}, {"M": {}}, {"S": ""}]}]
    + [{"M": {}}, {"M": {"k": {"N": "1"}}}, {"M": {"b": {"S": "2"}, "a": {"S": "1"}, "aa": {"S": "3"}}}]
    + [{"M": {"\U0001f600": {"N": "2"}, "\ufffd": {"N": "1"}, "__proto__": {"S": "kept"}, "10": {"S": "x"}, "9": {"S": "y"}}}]
    + [{"SS": ["b", "a"]}, {"SS": ["\U0001f600", "\ufffd", "z", "é"]}, {"SS": ["a", "a\x00"]}]
    + [{"NS": ["10", "9", "-1", "-1.5", "0.10", "1e-5"]}, {"NS": ["-10", "-9", "-0.5", "0"]}]
    + [{"BS": [b64(b"\xff"), b64(b"\x00"), b64(b"\x00\x00"), b64(b"a")]}]
    + [DEEP]
)
ITEM = {
    "user": {"S": "user#7"}, "at": {"N": "12.30"}, "score": {"N": "0.1000000000000000055511151231257827021"},
    "empty": {"S": ""}, "gone": {"NULL": True}, "active": {"BOOL": False}, "embedding": {"B": b64(b"\x00\x01\xfe\xff")},
    "tags": {"SS": ["b", "a"]}, "counts": {"NS": ["10", "9"]}, "blobs": {"BS": [b64(b"\xff"), b64(b"\x00")]},
    "history": {"L": [{"N": "1"}, {"M": {"z": {"NULL": True}, "a": {"L": []}}}]}, "été": {"S": "\U0001f600"},
}
ITEMS = [{}, {"id": {"S": "a"}, "n": {"N": "1"}}, ITEM]
LONG_NAMES = [("n", 15999), ("n", 16000), ("n", 16001), ("é", 8000), ("é", 8001), ("x", 65535)]
KEYS = [
    ({"S": "user#7"}, None), ({"S": "user#7"}, {"N": "12.3"}), ({"S": "user#7"}, {"N": "-12.30"}), ({"B": b64(b"a\x00b")}, None),
    ({"N": "0"}, {"S": "\x00"}), ({"N": "-1E-130"}, {"B": b64(b"\xff\x00\x01")}), ({"S": "a\x00"}, {"S": "b"}), ({"S": "a"}, {"S": "\x00b"}),
    ({"S": "\U0001f600"}, {"S": "\ufffd"}), ({"N": f"-{NINES}"}, {"N": NINES}), ({"S": "x" * 2048}, {"S": "y" * 1024}),
    ({"S": "é" * 1024}, {"B": b64(b"\xff" * 1024)}), ({"B": b64(b"\x00" * 2048)}, None), ({"S": "p"}, {"B": b64(b"\x00" * 1024)}),
    ({"S": "\x00" * 2048}, {"S": "\x00" * 1024}), ({"S": "\x00" * 448 + "x" * 1600}, {"S": "s"}), ({"S": "\x00" * 449 + "x" * 1599}, {"N": "5"}),
    ({"S": "\x00" * 450 + "x" * 1598}, {"N": "5"}), ({"S": "p"}, {"S": "y" + "\x00" * 1000}), ({"S": "p"}, {"S": "yy" + "\x00" * 1000}),
    ({"S": "p"}, {"B": b64(b"\x00" * 371 + b"z" * 653)}), ({"S": "p"}, {"B": b64(b"\x00" * 372 + b"z" * 652)}),
]
SORTED_SORT_KEYS = {
    "S": sorted(["a", "a\x00", "a\x01", "ab", "b", "é", "\ufffd", "\U0001f600", "\x00", "\x00\x00", "\x01", "Z", "~"], key=str.encode),
    "N": [number_text(text) for text in sorted(NUMBERS, key=exact)],
    "B": [b64(data) for data in sorted([b"\x00", b"\x00\x00", b"\x00\x01", b"\x00\xff", b"\x01", b"a", b"a\x00", b"ab", b"\xff", b"\xff\xff"])],
}
VERSIONS = [(0, "0", 0), (1, "400000000000499660", 0), (1, "9" * 21, 0), (1, "1" + "0" * 21, 0), (1, "9" * 40, 2**64 - 1), (9_999_999_999, "007", 1)]


def unique(texts):
    return list(dict.fromkeys(texts))


print(json.dumps({
    "numbers": [{"text": text, "canonical": number_text(text), "bytes": number_bytes(text).hex()} for text in NUMBERS],
    "refusedNumbers": REFUSED,
    "values": [{"value": value, "bytes": value_bytes(value).hex()} for value in VALUES],
    "items": [{"item": item, "bytes": value_bytes({"M": item}).hex(), "digest": sha256(value_bytes({"M": item})).hex(),
               "cells": cells(item)} for item in ITEMS],
    "longNames": [{"text": text, "times": times, "value": {"S": "v"}, "qualifierDigest": sha256(bytes.fromhex(qualifier)).hex(),
                   "cellDigest": sha256(bytes.fromhex(cell)).hex(), "hashed": qualifier.startswith("ff6e")}
                  for text, times in LONG_NAMES for qualifier, cell in cells({text * times: {"S": "v"}})],
    "keys": [{"partition": partition, **({"sort": sort} if sort else {}), "bytes": row_key(partition, sort).hex(),
              "hashed": is_hashed(partition, sort)} for partition, sort in KEYS],
    "sorted": {kind: unique(members) for kind, members in SORTED_SORT_KEYS.items()},
    "versions": [{"epoch": epoch, "sequenceNumber": number, "nonce": f"{nonce:016x}", "version": version(epoch, number, nonce)}
                 for epoch, number, nonce in VERSIONS],
}, indent=1, sort_keys=True))
