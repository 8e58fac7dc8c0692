#!/usr/bin/env python3
"""Makes weights.json: what another implementation of docs/format.md answers. Needs Python 3.9 and the zstd command.

    python3 test/vectors/make.py > test/vectors/weights.json

Written from the format's words, not from the TypeScript: plain loops, no shared tricks.
"""
import base64
import hashlib
import json
import struct
import subprocess
import tempfile

KIB, MIB = 1024, 1024 * 1024


def b64(data):
    return base64.b64encode(data).decode()


# ---------------------------------------------------------------- gear
def pseudo_random(seed, size):
    """SHA-256 of the ASCII text '<seed> <i>' for i = 0, 1, ... one after the other."""
    blocks = (hashlib.sha256(f"{seed} {i}".encode()).digest() for i in range((size + 31) // 32))
    return b"".join(blocks)[:size]


GEAR = [struct.unpack("<i", hashlib.sha256(f"gear/1 {i}".encode()).digest()[:4])[0] for i in range(256)]


def gear_cuts(data):
    table = [entry & 0xFFFFFFFF for entry in GEAR]
    lengths, start = [], 0
    while start < len(data):
        rest = min(len(data) - start, 4 * MIB)
        length = rest
        if rest >= 256 * KIB:
            h = 0
            for at in range(256 * KIB - 32, rest):
                h = ((h << 1) + table[data[start + at]]) & 0xFFFFFFFF
                size = at + 1
                if size >= 256 * KIB and h >> (10 if size <= 832 * KIB else 14) == 0:
                    length = size
                    break
        lengths.append(length)
        start += length
    return lengths


def gear_vectors():
    recipe = [["random", "gear data", 5 * MIB], ["zero", "", 5 * MIB], ["random", "gear more", 3 * MIB + 77]]
    data = b"".join(pseudo_random(seed, size) if kind == "random" else bytes(size) for kind, seed, size in recipe)
    return {
        "table": {"first": GEAR[:4], "last": GEAR[-4:], "sha256": hashlib.sha256(struct.pack("<256i", *GEAR)).hexdigest()},
        "input": recipe,
        "sha256": hashlib.sha256(data).hexdigest(),
        "cuts": gear_cuts(data),
    }


# -------------------------------------------------------------- bodies
def header(codec, plain_length, params=b"", base=b"", flags=None):
    flags = (1 if base else 0) if flags is None else flags
    return b"LBC1" + struct.pack("<BBHQ", codec, flags, len(params), plain_length) + params + base


def zstd(plain, *arguments, stream=False):
    if stream:
        return subprocess.run(["zstd", "-q", "-c", *arguments], input=plain, capture_output=True, check=True).stdout
    with tempfile.NamedTemporaryFile() as file:
        file.write(plain)
        file.flush()
        return subprocess.run(["zstd", "-q", "-c", *arguments, file.name], capture_output=True, check=True).stdout


def body_vectors():
    text = "".join(f"line {i % 17} of a chunk list\n" for i in range(200)).encode()
    noise = pseudo_random("noise", 300)
    good = [
        {"name": "raw", "codec": "raw", "plain": b64(noise), "body": b64(header(0, 300) + noise)},
        {"name": "raw, empty", "codec": "raw", "plain": "", "body": b64(header(0, 0))},
    ]
    for name, packed in (
        ("zstd -1", zstd(text, "-1")),
        ("zstd -19 without checksum", zstd(text, "-19", "--no-check")),
        ("zstd from a stream, no content size", zstd(text, "-3", stream=True)),
    ):
        good.append({"name": name, "codec": "zstd", "plain": b64(text), "body": b64(header(1, len(text)) + packed)})
    packed = zstd(text, "-3")
    # A frame whose descriptor asks for a window of 128 MiB, then one last raw block of 5 bytes.
    wide = bytes.fromhex("28b52ffd") + bytes([0x00, (27 - 10) << 3]) + struct.pack("<I", 5 << 3 | 1)[:3] + b"hello"
    bad = [
        ["empty", "Corrupt", b""],
        ["inside the header", "Corrupt", header(0, 0)[:15]],
        ["another magic", "Corrupt", b"PK\x03\x04" + header(0, 0)[4:]],
        ["a newer major version", "FormatVersion", b"LBC2" + header(0, 0)[4:]],
        ["unknown codec", "FormatVersion", header(4, 0)],
        ["unknown flag", "Corrupt", header(0, 0, flags=2)],
        ["base without delta", "Corrupt", header(0, 0, base=bytes(32))],
        ["delta without base", "Corrupt", header(3, 0)],
        ["parameters past the end", "Corrupt", header(2, 0, params=b"1234")[:-1]],
        ["base past the end", "Corrupt", header(3, 0, base=bytes(32))[:-1]],
        ["raw with parameters", "Corrupt", header(0, 0, params=b"1")],
        ["raw too short", "Corrupt", header(0, 300) + noise[:-1]],
        ["raw too long", "Corrupt", header(0, 300) + noise + b"\0"],
        ["zstd truncated", "Corrupt", header(1, len(text)) + packed[:-1]],
        ["zstd with garbage after it", "Corrupt", header(1, len(text)) + packed + b"\0"],
        ["zstd with a second frame", "Corrupt", header(1, len(text)) + packed + zstd(b"")],
        ["zstd longer than declared", "Corrupt", header(1, len(text) - 1) + packed],
        ["zstd shorter than declared", "Corrupt", header(1, len(text) + 1) + packed],
        ["zstd of nothing", "Corrupt", header(1, 0)],
        ["zstd that is not", "Corrupt", header(1, 300) + noise],
        ["zstd with a window of 128 MiB", "Corrupt", header(1, 5) + wide],
        ["a plain length of 2^63", "Corrupt", header(1, 2**63) + packed],
        ["a plain length above the bound", "Corrupt", header(0, 4 * MIB + 1) + noise],
    ]
    return {
        "good": good,
        "bad": [{"name": name, "error": error, "body": b64(body)} for name, error, body in bad],
        "headers": [
            {"codec": "exp-zstd", "plainLength": 4 * MIB, "params": b64(b"\x02\x01"), "header": b64(header(2, 4 * MIB, b"\x02\x01"))},
            {"codec": "delta", "plainLength": 2**40, "params": b64(b"p"), "base": b64(bytes(range(32))), "header": b64(header(3, 2**40, b"p", bytes(range(32))))},
        ],
    }


# --------------------------------------------------------------- names
SAFE = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def quote(text):
    if text in (".", ".."):
        return "%2E" * len(text)
    return "".join(chr(byte) if byte in SAFE else f"%{byte:02X}" for byte in text.encode())


def quote_key(key):
    """A slash stays one where it has something on its left that is no slash, and something on its right."""
    out, segment = "", ""
    for at, character in enumerate(key):
        if character != "/":
            segment += character
            continue
        divides = at > 0 and key[at - 1] != "/" and at < len(key) - 1
        out += quote(segment) + ("/" if divides else "%2F")
        segment = ""
    return out + quote(segment)


def digest_field(text):
    return "~" + hashlib.sha256(text.encode()).hexdigest()


def manifest_name(bucket, key, version, plan):
    for first, second in (
        (quote_key(key), quote(version)),
        (digest_field(key), quote(version)),
        (digest_field(key), digest_field(version)),
    ):
        name = f"objects/{bucket}/{first}/{second}.{plan}.json"
        if len(name) <= 900:
            return name
    raise ValueError("too long")


def release_name(model, version, release):
    for first, second in (
        (quote(model), quote(version)),
        (digest_field(model), quote(version)),
        (digest_field(model), digest_field(version)),
    ):
        name = f"releases/{first}/{second}.{release}.json"
        if len(name) <= 900:
            return name
    raise ValueError("too long")


def name_vectors():
    keys = [
        "model.safetensors", "llama/v1/model-00001-of-00002.safetensors", "a b+c", "/leading", "double//slash",
        "trailing/", "//", "/", "a///b", ".", "..", "a/./b/../c", "./", "...", ".hidden/..", "~tilde", "50%25", "%2F",
        "ключ/モデル/😀", "quote'(star)*!", "line\r\nbreak\tnul\0", "a\u0301 and \u00e1", "\ufeffbom", "#?[]*",
        ".well-known/acme-challenge/x", "x" * 1024, "é" * 512, "u/" * 400,
    ]
    versions = ["3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY", "null", "u-2024-01-01T00:00:00Z-0123abcd-2", "v" * 1024]
    plan = "0123456789abcdef"
    return {
        "keys": [{"key": key, "encoded": quote_key(key)} for key in keys],
        "objects": [
            {"bucket": "models", "key": key, "version": version, "planId": plan, "name": manifest_name("models", key, version, plan)}
            for key, version in [(key, versions[0]) for key in keys] + [("k", version) for version in versions] + [("x" * 1024, versions[3])]
        ],
        "releases": [
            {"model": model, "version": version, "releaseId": plan, "name": release_name(model, version, plan)}
            for model, version in [("llama", "v1"), ("org/llama 3", "2024/01"), ("..", "."), ("m" * 1000, "v"), ("m" * 1000, "v" * 1000)]
        ],
    }


# ---------------------------------------------------------------- crcs
POLYNOMIALS = {"CRC32": (32, 0xEDB88320), "CRC32C": (32, 0x82F63B78), "CRC64NVME": (64, 0x9A6C9329AC4BC9B5)}


def crc(algorithm, data):
    width, polynomial = POLYNOMIALS[algorithm]
    value = (1 << width) - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ polynomial if value & 1 else value >> 1
    return (value ^ (1 << width) - 1).to_bytes(width // 8, "big")


def matrix_times(matrix, vector):
    total = 0
    for row in matrix:
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


def combine(algorithm, a, b, length):
    """zlib's first way: the matrix of one zero byte, squared as the length's bits ask."""
    width, polynomial = POLYNOMIALS[algorithm]
    bit = [polynomial] + [1 << i for i in range(width - 1)]
    square = lambda matrix: [matrix_times(matrix, row) for row in matrix]
    operator = square(square(square(bit)))
    value = int.from_bytes(a, "big")
    while length:
        if length & 1:
            value = matrix_times(operator, value)
        operator = square(operator)
        length >>= 1
    return (value ^ int.from_bytes(b, "big")).to_bytes(width // 8, "big")


def crc_vectors():
    vectors = {"check": {}, "concatenated": [], "far": []}
    for algorithm in POLYNOMIALS:
        vectors["check"][algorithm] = crc(algorithm, b"123456789").hex()
        for la, lb in ((0, 0), (0, 5), (7, 0), (1, 1), (300, 77), (64, 1000)):
            a, b = pseudo_random(f"a {la}", la), pseudo_random(f"b {lb}", lb)
            assert combine(algorithm, crc(algorithm, a), crc(algorithm, b), lb) == crc(algorithm, a + b)
            vectors["concatenated"].append({"algorithm": algorithm, "a": b64(a), "b": b64(b), "crc": b64(crc(algorithm, a + b))})
        for length in (4 * MIB, 256 * MIB, 50 * 10**12, 2**53 - 1):
            a, b = crc(algorithm, b"first"), crc(algorithm, b"second")
            vectors["far"].append({"algorithm": algorithm, "a": b64(a), "b": b64(b), "length": length, "crc": b64(combine(algorithm, a, b, length))})
    return vectors


# ---------------------------------------------------------------- cuts
def tensor_cuts(data_start, tensors):
    """tensors: (name, dtype, start, end) in order."""
    cuts = [[at, min(4 * MIB, data_start - at), None, None] for at in range(0, data_start, 4 * MIB)]
    group = None
    for name, dtype, start, end in tensors:
        size = end - start
        if size == 0:
            continue
        if size >= MIB:
            group = None
            cuts += [[at, min(4 * MIB, end - at), dtype, name] for at in range(start, end, 4 * MIB)]
        elif group and group[1] + size <= MIB:
            group[1] += size
            group[2] = group[2] if group[2] == dtype else None
            group[3] = None
        else:
            group = [start, size, dtype, name]
            cuts.append(group)
    return cuts


def safetensors_vectors():
    shapes = [
        ("embed", "BF16", [3000, 1024]), ("tiny.0", "F32", [10]), ("tiny.1", "F32", [1000]), ("nothing", "F16", [0, 7]),
        ("tiny.2", "BF16", [524288 - 2200]), ("tiny.3", "I8", [1048576 - 1]), ("exact", "U8", [1048576]), ("scalar", "F64", []),
        ("odd", "X_NEW", [3]), ("fp4", "F4", [6]), ("big", "F32", [2048, 2048]), ("last", "BOOL", [5]),
    ]
    bits = {"BF16": 16, "F32": 32, "F16": 16, "I8": 8, "U8": 8, "F64": 64, "F4": 4, "BOOL": 8, "X_NEW": 88}
    entries, at, placed = {"__metadata__": {"format": "pt", "naïve": "✓"}}, 0, []
    for name, dtype, shape in shapes:
        count = 1
        for size in shape:
            count *= size
        size = count * bits[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        placed.append((name, dtype, at, at + size))
        at += size
    text = json.dumps(entries, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    data_start = 8 + len(text)
    tensors = [(name, dtype, start + data_start, end + data_start) for name, dtype, start, end in placed]
    return {
        "header": b64(struct.pack("<Q", len(text)) + text),
        "fileSize": data_start + at,
        "tensors": [list(tensor) for tensor in tensors],
        "cuts": tensor_cuts(data_start, tensors),
        "hugeHeaderCuts": tensor_cuts(9 * MIB + 3, [("t", "U8", 9 * MIB + 3, 10 * MIB)]),
    }


print(json.dumps({
    "gear": gear_vectors(),
    "bodies": body_vectors(),
    "names": name_vectors(),
    "crcs": crc_vectors(),
    "safetensors": safetensors_vectors(),
}, indent=1))
