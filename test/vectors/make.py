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


KINDS = {"BF16": (1, 16, 8), "F16": (2, 16, 5), "F32": (3, 32, 8)}  # code, bits, bits of the exponent


def floats_of(dtype, seed, count):
    """Whatever bits a float can have: noise, then zeros, subnormals, infinities and NaNs with payloads of both signs."""
    _, bits, exponent = KINDS[dtype]
    mantissa = bits - 1 - exponent
    top = ((1 << exponent) - 1) << mantissa
    special = [0, 1, (1 << mantissa) - 1, 1 << mantissa, top - 1, top, top + 1, top + (1 << mantissa) - 1]
    special += [value | 1 << bits - 1 for value in special]
    noise = pseudo_random(seed, count * bits // 8)
    values = [int.from_bytes(noise[i * bits // 8:(i + 1) * bits // 8], "little") for i in range(count)]
    for i, value in enumerate(special):
        values[(i * 37 + len(seed)) % count] = value
    return values


def pack_elements(values, bits):
    return b"".join(value.to_bytes(bits // 8, "little") for value in values)


def float_body(dtype, plain, base=None, zstd_planes=()):
    """Section 3.3, or with `base` 3.4, by arithmetic on one element after the other."""
    code, bits, exponent = KINDS[dtype]
    width, mantissa, half = bits // 8, bits - 1 - exponent, 1 << bits - 1
    count = len(plain) // width
    at = lambda data, i: int.from_bytes(data[i * width:(i + 1) * width], "little") if (i + 1) * width <= len(data) else 0
    if base is None:
        out = [(at(plain, i) << 1 | at(plain, i) >> bits - 1) % (1 << bits) for i in range(count)]
    else:
        def ordered(value):
            return value if value < half else -1 - (value - half)

        buckets = [[] for _ in range(1 << exponent)]
        for i in range(count):
            difference = (ordered(at(plain, i)) - ordered(at(base, i)) + half) % (1 << bits) - half
            zigzag = 2 * difference if difference >= 0 else -2 * difference - 1
            buckets[at(base, i) >> mantissa & (1 << exponent) - 1].append(zigzag)
        out = [value for bucket in buckets for value in bucket]
    params, payload = bytes([code]), b""
    for k in range(width):
        plane = bytes(value >> 8 * (width - 1 - k) & 255 for value in out)
        stored = zstd(plane, "-3") if k in zstd_planes else plane
        params += struct.pack("<BI", k in zstd_planes, len(stored))
        payload += stored
    payload += plain[count * width:]
    named = b"" if base is None else hashlib.sha256(base).digest()
    return header(2 if base is None else 3, len(plain), params, named) + payload


def float_vectors():
    good = []
    for dtype, (_, bits, _) in KINDS.items():
        width = bits // 8
        values = floats_of(dtype, f"floats {dtype}", 101)
        old = pack_elements(values, bits)
        near = [(value + i % 5 - 2) % (1 << bits) for i, value in enumerate(values)]
        near[:16] = reversed(values[:16])
        plain = pack_elements(near, bits) + b"tail"[:width - 1]
        flat = pack_elements([0x3C00 << bits - 16] * 600, bits)
        add = lambda name, plain, base=None, planes=(): good.append({
            "name": f"{dtype}, {name}", "codec": "exp-zstd" if base is None else "delta", "plain": b64(plain),
            "body": b64(float_body(dtype, plain, base, planes)), **({} if base is None else {"base": b64(base)}),
        })
        add("planes raw, odd count, a tail", plain)
        add("planes packed", flat, planes=range(width))
        add("some planes packed", flat + plain, planes=(0,))
        add("less than an element", plain[:width - 1])
        add("nothing", b"")
        add("delta", plain, old)
        add("delta to a shorter base with a tail", plain, old[:41 * width + 1])
        add("delta to a longer base", plain, old + old)
        add("delta to nothing", plain, b"")
        add("delta, planes packed", flat, flat, range(width))
        add("delta of nothing", b"", old)
    return good


def float_refusals():
    plain, base = pack_elements(floats_of("BF16", "bad", 64), 16), pack_elements(floats_of("BF16", "bad base", 64), 16)
    body, delta = float_body("BF16", plain + b"x"), float_body("BF16", plain, base)
    flat = bytes(1200)
    packed = float_body("BF16", flat, None, (0, 1))
    change = lambda body, at, *values: body[:at] + bytes(values) + body[at + len(values):]
    return [
        ["exp-zstd without parameters", "Corrupt", header(2, 4) + b"1234", None],
        ["exp-zstd of an unknown kind", "FormatVersion", change(body, 16, 4), None],
        ["exp-zstd with a parameter too many", "Corrupt", header(2, 129, body[16:27] + b"\0") + body[27:], None],
        ["exp-zstd with parameters of another kind", "Corrupt", change(body, 16, 3), None],
        ["exp-zstd with an unknown method", "FormatVersion", change(body, 17, 2), None],
        ["exp-zstd with a raw plane too short", "Corrupt", change(body, 18, 63), None],
        ["exp-zstd with a packed plane as long as a raw one", "Corrupt", change(body, 17, 1), None],
        ["exp-zstd that is not zstd", "Corrupt", change(body, 17, 1, 63), None],
        ["exp-zstd with a frame cut off", "Corrupt", change(packed, 18, packed[18] - 1), None],
        ["exp-zstd truncated", "Corrupt", body[:-1], None],
        ["exp-zstd with garbage after it", "Corrupt", body + b"\0", None],
        ["exp-zstd longer than declared", "Corrupt", change(body, 8, 128), None],
        ["exp-zstd above the bound", "Corrupt", change(body, 8, 1, 0, 64), None],
        ["delta whose base is not given", "Corrupt", delta, None],
        ["delta to another base", "Corrupt", delta, base[1:]],
        ["delta truncated", "Corrupt", delta[:-1], base],
    ]


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
    good += float_vectors()
    bad = [[*entry, None] for entry in bad] + float_refusals()
    return {
        "good": good,
        "bad": [
            {"name": name, "error": error, "body": b64(body), **({} if base is None else {"base": b64(base)})}
            for name, error, body, base in bad
        ],
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
