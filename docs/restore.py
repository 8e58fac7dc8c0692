#!/usr/bin/env python3
"""Restores a model or an object from a Lifeboat replica with nothing but Python 3.9 and the zstd command.

  restore.py REPLICA_DIR WHAT DEST                 from a copy of the replica on disk
  restore.py --bucket BUCKET[/PREFIX] WHAT DEST    from Cloud Storage, with --token or GCS_TOKEN

WHAT is MODEL (its newest protected version), MODEL@VERSION or s3://bucket/key[#version]. The format is docs/format.md;
everything is verified, and files get their names when all of them are whole. Prints the SHA-256 and path of each.
Exit codes: 0 fine, 2 usage, 3 unreachable or denied, 4 not found, 5 corrupt or untrusted, 130 interrupted.
"""
import argparse, hashlib, http.client, json, os, re, shutil, struct, subprocess, sys, tempfile, time, unicodedata
from urllib import parse, request

USAGE, UNREACHABLE, NOT_FOUND, CORRUPT = 2, 3, 4, 5
RECORD_MAX, CHUNK_MAX, OVERHEAD_MAX = 64 << 20, 32 << 20, 64 << 10  # bytes that a record may make this page hold

def need(condition, message, code=CORRUPT):
    if not condition:
        print(f"restore.py: {message}", file=sys.stderr)
        sys.exit(code)

def sha256(data):
    return hashlib.sha256(data).hexdigest()

# ---------------------------------------------------------------- where the replica is: read(name) and names(folder)

class Folder:
    def __init__(self, root):
        need(os.path.isdir(root), f"{root} is no folder", NOT_FOUND)
        self.root = root

    def read(self, name, limit):
        try:
            with open(os.path.join(self.root, name), "rb") as file:
                return file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def names(self, folder):
        path = os.path.join(self.root, folder)
        return [f"{folder}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else []

class Bucket:
    def __init__(self, place, endpoint, token):
        bucket, _, prefix = place.partition("/")
        self.prefix = prefix.strip("/") and prefix.strip("/") + "/"
        self.url = f"{endpoint.rstrip('/')}/storage/v1/b/{bucket}/o"
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path, query, limit):
        url = f"{self.url}{path}?{parse.urlencode(query)}"
        for pause in (0.5, 1, 2, None):
            try:
                with request.urlopen(request.Request(url, headers=self.headers), timeout=60) as answer:
                    data = answer.read(limit + 1)
                    if len(data) < min(limit + 1, int(answer.headers.get("Content-Length", 0))):
                        raise http.client.IncompleteRead(data)
                    return data
            except (http.client.HTTPException, OSError) as failure:  # urllib's own errors are OSErrors
                status = getattr(failure, "code", 503)
                if status == 404:
                    return None
                need(pause and (status == 429 or status >= 500), f"{url}: {failure}", UNREACHABLE)
                time.sleep(pause)

    def read(self, name, limit):
        return self.get("/" + parse.quote(self.prefix + name, safe=""), {"alt": "media"}, limit)

    def names(self, folder):
        query, found = {"prefix": f"{self.prefix}{folder}/", "delimiter": "/"}, []
        while True:
            page = self.get("", query, RECORD_MAX)
            need(page is not None, f"there is no bucket at {self.url}", NOT_FOUND)
            page = json.loads(page)
            found += [item["name"][len(self.prefix):] for item in page.get("items", [])]
            if not page.get("nextPageToken"):
                return found
            query["pageToken"] = page["nextPageToken"]

# ------------------------------------------------------------------------------------------------ records and bodies

def fetch(store, name, limit):
    """A name may come from a record: it must not lead out of the replica."""
    legal = re.fullmatch(r"[\w.~%/-]+", name, re.A) and not {"", ".", ".."} & set(name.split("/"))
    need(legal, f"not a name of the replica: {name!r}")
    data = store.read(name, limit)
    need(data is not None, f"{name} is missing from the replica")
    need(len(data) <= limit, f"{name} has more than {limit} bytes")
    return data

def parse_record(name, data, formats):
    record = json.loads(data)
    version = record["formatVersion"]
    need(re.fullmatch(r"1\.\d+", version), f"{name} is of format {version}; this page reads format 1")
    need(record["format"] in formats, f"{name} is a {record['format']}, expected {formats[0]}")
    need(record.get("encryption") is None, f"{name} is encrypted, which this page cannot read")
    return record

def read_record(store, name, formats, digest=None):
    data = fetch(store, name, RECORD_MAX)
    need(digest in (None, "sha256:" + sha256(data)), f"{name} was replaced or damaged: its release names {digest}")
    return parse_record(name, data, formats)

def unzstd(payload, limit):
    with tempfile.TemporaryFile() as packed:
        packed.write(payload)
        packed.seek(0)
        pipes = {"stdin": packed, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(["zstd", "-dcq"], **pipes) as zstd:
            plain = zstd.stdout.read(limit + 1)
            zstd.stdout.close()  # ends a bomb: zstd cannot write on
        return plain if zstd.returncode == 0 else b""

def floats(name, params, payload, length, base):
    """The plain bytes of a body of planes, sections 3.3 and 3.4; `base` is plain bytes that are proved."""
    need(params and 1 <= params[0] <= 3, f"{name}: elements of an unknown kind: a newer program is needed")
    width, shift, mask = {1: (2, 7, 255), 2: (2, 10, 31), 3: (4, 23, 255)}[params[0]]
    need(len(params) == 1 + 5 * width, f"{name} has {len(params)} bytes of parameters")
    count, at, joined = length // width, 0, bytearray(length // width * width)
    for k, (method, size) in enumerate(struct.iter_unpack("<BI", params[1:])):
        need(method in (0, 1), f"{name}: a plane stored by an unknown method: a newer program is needed")
        plane = unzstd(payload[at:at + size], count) if method else payload[at:at + size]
        need(len(plane) == count, f"{name} does not decode to its id: plane {k} is damaged")
        joined[width - 1 - k::width], at = plane, at + size
    need(len(payload) - at == length % width, f"{name} has {len(payload) - at} bytes after its planes")
    bits, whole = 8 * width, (1 << 8 * width) - 1
    if base is None:  # all elements at once, as one number
        ones = int.from_bytes((b"\1" + bytes(width - 1)) * count, "little")
        number = int.from_bytes(joined, "little")
        number = number >> 1 & ones * (whole >> 1) | (number & ones) << bits - 1
        return number.to_bytes(count * width, "little") + payload[at:]
    form = f"<{count}{'H' if width == 2 else 'I'}"
    below = struct.unpack(form, base[:min(count, len(base) // width) * width].ljust(count * width, b"\0"))
    plain, top = [0] * count, 1 << bits - 1
    order = sorted(range(count), key=[value >> shift & mask for value in below].__getitem__)
    for place, zigzag in zip(order, struct.unpack(form, joined)):
        value = below[place]  # ordered integers stand modulo 2^bits: a negative float's are all bits but the sign
        value = (value ^ top - 1 if value & top else value) + (zigzag >> 1 ^ -(zigzag & 1)) & whole
        plain[place] = value ^ top - 1 if value & top else value
    return struct.pack(form, *plain) + payload[at:]

def read_body(store, folder, ref, limit, base=None):
    """The plain bytes of a chunk or part, which hash to its id. `base`: digest and plain bytes of what a delta is against."""
    need(re.fullmatch(r"sha256:[0-9a-f]{64}", ref["id"]), f"not an id: {ref['id']!r}")
    digest = ref["id"][7:]
    name = ref.get("name") or f"{folder}/{digest[:2]}/{digest}" + (f".{base[0].hex()}" if base else "")
    body = fetch(store, name, limit + OVERHEAD_MAX)
    need(len(body) == ref["storedBytes"] >= 16, f"{name} has {len(body)} bytes, expected {ref['storedBytes']}")
    magic, codec, flags, params, length = struct.unpack_from("<4sBBHQ", body)
    need(magic == b"LBC1" and codec in (0, 1, 2, 3), f"{name}: {magic!r}, codec {codec}; LBC1, codecs 0 to 3 are read here")
    need(flags == (codec == 3) and length <= limit, f"{name} has a header that no body of codec {codec} has")
    start = 16 + params + 32 * flags
    if codec < 2:
        need(params == 0, f"{name} has parameters, which no raw or zstd body has")
        plain = unzstd(body[16:], length) if codec == 1 else body[16:]
    else:
        need(codec == 2 or base and body[start - 32:start] == base[0], f"{name} is the difference to another base")
        plain = floats(name, body[16:16 + params], body[start:], length, base[1] if codec == 3 else None)
    need(len(plain) == length and sha256(plain) == digest, f"{name} does not decode to its id: it is damaged")
    return plain

def chunks_of(store, parts, position):
    """The object's bytes from `position` on, chunk by chunk; parts and chunks must follow each other without a gap."""
    for part in parts:
        need(part["offset"] == position, f"byte {position} is followed by byte {part['offset']}")
        end, kind = position + part["size"], part["kind"]
        listed = parse_record(part["id"], read_body(store, "parts", part, RECORD_MAX), [f"lifeboat/{kind}"])
        below = chunks_of(store, listed["parts"], position) if kind == "index" else chunks(store, listed["chunks"])
        for plain in below:
            position += len(plain)
            yield plain
        need(position == end, f"part {part['id']} ends at byte {position}, expected {end}")

def chunks(store, refs):
    for ref in refs:
        need(ref["length"] <= CHUNK_MAX, f"{ref['id']} claims {ref['length']} bytes: not believed")
        base, below = None, ref.get("base")
        if below:
            need(below["length"] <= CHUNK_MAX, f"{below['id']} claims {below['length']} bytes: not believed")
            base = bytes.fromhex(below["id"][7:]), read_body(store, "chunks", below, below["length"])
        plain = read_body(store, "deltas" if base else "chunks", ref, ref["length"], base)
        need(len(plain) == ref["length"], f"{ref['id']} has {len(plain)} bytes, expected {ref['length']}")
        yield plain

# ---------------------------------------------------------------------------------------------------- what to restore

def encode(text, slashes=""):
    text = re.sub(r"(?<![^/])\.\.?(?![^/])", lambda dots: "%2E" * len(dots[0]), parse.quote(text, safe=slashes + "-._"))
    return re.sub(r"(?<![^/])/|/\Z", "%2F", text).replace("~", "%7E")

def find(store, folder, text, encoded, version, states, describe):
    """The version named, or the newest, protected before others, or None. `describe`: name, version, time of one."""
    names = [name for part in (encoded, "~" + sha256(text.encode())) for name in store.names(f"{folder}/{part}")]
    formats = ["lifeboat/object", "lifeboat/release", "lifeboat/cancelled"]
    read, damaged, stem = {}, [], lambda name: name[:-5].rpartition(".")[0]  # without plan or release id
    for name in [name for name in names if name.endswith(".json")]:
        try:
            read[name] = read_record(store, name, formats)
        except (KeyError, TypeError, ValueError, AttributeError):
            damaged.append(name)
        except SystemExit as refusal:
            need(refusal.code == CORRUPT, f"{name} cannot be read", refusal.code)
            damaged.append(name)
    replaced = {f"{stem(name)}.{other}.json" for name, record in read.items() for other in record.get("replaces", [])}
    again = {stem(name) for name, record in read.items() if record["format"] == "lifeboat/object"}
    for name in damaged:
        need(name in replaced or stem(name) in again, f"a record is not of the format: {name}, and none stands in for it")
    found = [record for name, record in read.items() if name not in replaced]
    found = [(record, *describe(record)) for record in found if record["format"] != "lifeboat/cancelled"]
    rank = lambda entry: (version is None and entry[0]["state"] == "protected", entry[3], entry[0]["sequence"])
    for record, its_name, its_version, _ in sorted(found, key=rank, reverse=True):
        if its_name == text and its_version == (version or its_version) and (version or record["state"] in states):
            return record
    return None

def find_object(store, bucket, key, version=None):
    describe = lambda record: tuple(record["source"][field] for field in ("key", "version", "lastModified"))
    return find(store, f"objects/{bucket}", key, encode(key, "/"), version, ["protected", "sealed"], describe)

def find_release(store, model, version=None):
    describe = lambda record: tuple(record[field] for field in ("model", "version", "publishedAt"))
    return find(store, "releases", model, encode(model), version, ["protected"], describe)

def targets(store, what):
    """(path, object manifest) of everything to restore."""
    match, chosen = re.fullmatch(r"s3://([^/]+)/(.+)", what, re.S), []
    if match:
        bucket, text = match.groups()
        key, _, version = text.rpartition("#")
        manifest = find_object(store, bucket, text) or (key and find_object(store, bucket, key, version))
        need(manifest, f"the replica has no {what}", NOT_FOUND)
        return [(manifest["source"]["key"].rpartition("/")[2], manifest)]
    model, _, version = what.rpartition("@")
    release = find_release(store, model, version) if model else find_release(store, what)
    need(release, f"the replica has no {what}, or no version of it that is protected", NOT_FOUND)
    for member in release["members"]:
        manifest = read_record(store, member["manifest"], ["lifeboat/object"], member["manifestDigest"])
        described = {**manifest["source"], "size": manifest["size"], "planId": manifest["planId"]}
        same = all(member[field] == described[field] for field in ("bucket", "key", "version", "size", "planId"))
        need(same, f"{member['manifest']} is not the manifest of {member['path']}")
        chosen.append((member["path"], manifest))
    return chosen

# ---------------------------------------------------------------------------------------------------------- the files

def check_paths(dest, files, folders):
    for path in files + folders:
        names = path.split("/")
        bad = {"", ".", ".."} & set(names) or re.search(r"[\0\\]|\A[A-Za-z]:", path)
        need(not bad and max(len(name.encode()) for name in names) < 256, f"unsafe path {path!r}: nothing was written")
        real = os.path.realpath(os.path.join(dest, path))
        need(real == os.path.join(os.path.realpath(dest), path), f"{path!r} leads through a link: nothing was written")
    for path in files:
        need(not os.path.lexists(os.path.join(dest, path)), f"{path} exists in {dest}: nothing was written", USAGE)
    fold = [unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).lower()) for path in files + folders]
    above = {path[:slash.start()] for path in fold for slash in re.finditer("/", path)}
    clash = len(set(fold)) < len(fold) or above & set(fold[:len(files)])
    need(not clash, "two paths are one where case is ignored, or one is a file and a folder: nothing was written")

def write_file(store, manifest, path):
    digest, size = hashlib.sha256(), 0
    with open(path, "wb") as file:
        for plain in chunks_of(store, manifest["parts"], 0):
            file.write(plain)
            digest.update(plain)
            size += len(plain)
        file.flush()
        os.fsync(file.fileno())
    need(size == manifest["size"], f"{manifest['source']['key']} has {size} bytes, expected {manifest['size']}")
    known = manifest["checksums"].get("sha256")
    need(known in (None, digest.hexdigest()), f"{manifest['source']['key']} is {digest.hexdigest()}, expected {known}")
    return digest.hexdigest()

def restore(store, what, dest):
    chosen = targets(store, what)
    markers = [path for path, manifest in chosen if path.endswith("/") and manifest["size"] == 0]
    files = [entry for entry in chosen if entry[0] not in markers]
    check_paths(dest, [path for path, _ in files], [path[:-1] for path in markers])
    os.makedirs(dest, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=".lifeboat-", dir=dest)
    try:
        written = [(path, os.path.join(scratch, str(index))) for index, (path, _) in enumerate(files)]
        digests = [write_file(store, manifest, temporary) for (_, manifest), (_, temporary) in zip(files, written)]
        for path in [path for path, _ in written] + markers:
            os.makedirs(os.path.dirname(os.path.join(dest, path)), exist_ok=True)
        for (path, temporary), digest in zip(written, digests):
            os.rename(temporary, os.path.join(dest, path))
            print(f"{digest}  {path}")
    finally:
        shutil.rmtree(scratch)

def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("replica", nargs="?", help="folder that holds releases/, objects/, parts/ and chunks/")
    cli.add_argument("what")
    cli.add_argument("dest", help="folder to restore into; it need not exist")
    cli.add_argument("--bucket", metavar="BUCKET[/PREFIX]")
    cli.add_argument("--endpoint", default="https://storage.googleapis.com")
    cli.add_argument("--token", default=os.environ.get("GCS_TOKEN"), help="an OAuth access token")
    given = cli.parse_args()
    if (given.replica is None) == (given.bucket is None):
        cli.error("give REPLICA_DIR or --bucket")
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        need(shutil.which("zstd"), "the zstd command is not on the PATH", USAGE)
        store = Folder(given.replica) if given.replica else Bucket(given.bucket, given.endpoint, given.token)
        restore(store, given.what, given.dest)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as failure:
        need(False, f"a record is not of the format: {failure!r}")
    except OSError as failure:
        need(False, failure, USAGE)
    except KeyboardInterrupt:
        sys.exit(130)

if __name__ == "__main__":
    main()
