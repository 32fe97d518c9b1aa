#!/usr/bin/env python3
"""An independent verifier of the key log, written from docs/key-log.md and the specifications it names.

usage: keylog.py audit  DIRECTORY LOGKEY [--witness KEY]... [--quorum N]
       keylog.py lookup PROOF MAILBOX LOGKEY VRFKEY [--witness KEY]... [--quorum N] [--expect keys|erased|absent]
       keylog.py consistent DIRECTORY LOGKEY OLDCHECKPOINT
       keylog.py vrf VRFKEY MAILBOX PROOF

Keys of logs and witnesses are C2SP verifier keys, NAME+ID+BASE64; the VRF key and VRF proofs are in hexadecimal.
Prints one line and ends with 0 if everything is as it should be; else says why on standard error and ends with 1.
"""

import argparse
import base64
import binascii
import hashlib
import os
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    """Something is not as docs/key-log.md demands."""


def demand(condition, why):
    if not condition:
        raise Refused(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- The curve edwards25519 (RFC 8032 section 5.1), in affine coordinates by extended ones ----------------------

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)


def decode_point(octets):
    """RFC 8032 section 5.1.3; None for what is not the canonical encoding of a point."""
    number = int.from_bytes(octets, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT_OF_MINUS_ONE % P
        if (v * x * x - u) % P:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def encode_point(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def negate(point):
    return (P - point[0], point[1], point[2], P - point[3])


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


# ---- ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381) -----------------------------------------------------------------


def vrf_label(public, mailbox, proof):
    """The label that the proof proves for the mailbox (RFC 9381 section 5.3)."""
    demand(len(public) == 32 and len(proof) == 80, "the VRF key or proof has the wrong length")
    key = decode_point(public)
    demand(key is not None, "the VRF key is no point in canonical encoding")
    demand(encode_point(multiply(8, key)) != encode_point(IDENTITY), "the VRF key has a small order")
    gamma = decode_point(proof[:32])
    demand(gamma is not None, "Gamma is no point in canonical encoding")
    challenge, response = int.from_bytes(proof[32:48], "little"), int.from_bytes(proof[48:], "little")
    demand(response < Q, "s is not below q")
    base = hash_to_curve(public, mailbox)
    u = add(multiply(response, BASE), negate(multiply(challenge, key)))
    v = add(multiply(response, base), negate(multiply(challenge, gamma)))
    points = b"".join(encode_point(point) for point in (key, base, gamma, u, v))
    computed = hashlib.sha512(b"\x03\x02" + points + b"\x00").digest()[:16]
    demand(computed == proof[32:48], "the VRF proof is not of this mailbox and key")
    output = hashlib.sha512(b"\x03\x03" + encode_point(multiply(8, gamma)) + b"\x00").digest()
    return output[:32]


def hash_to_curve(public, mailbox):
    for counter in range(256):
        digest = hashlib.sha512(b"\x03\x01" + public + mailbox + bytes([counter, 0])).digest()
        point = decode_point(digest[:32])
        if point is not None:
            return multiply(8, point)
    raise Refused("no point for this mailbox")


# ---- Signed notes and checkpoints (C2SP) ----------------------------------------------------------------------


class Key:
    """A verifier key: NAME+ID+BASE64(type || public key)."""

    def __init__(self, text):
        self.name, identity, encoded = text.split("+", 2)
        material = base64.b64decode(encoded, validate=True)
        self.kind, self.public = material[0], material[1:]
        demand(self.kind in (1, 4) and len(self.public) == 32, "not an Ed25519 key")
        self.identity = sha256(self.name.encode(), b"\n", material)[:4]
        demand(self.identity.hex() == identity, "the key id is not that of the key")

    def verify(self, text, signature):
        """Returns the time of a cosignature, or None for a plain signature."""
        time, message = None, text.encode()
        if self.kind == 4:
            demand(len(signature) == 72, "a cosignature has another length")
            time = struct.unpack(">Q", signature[:8])[0]
            signature = signature[8:]
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            raise Refused(f"a signature of {self.name} is not valid") from None
        return time


class Checkpoint:
    """A checkpoint that the log has signed and enough witnesses have cosigned."""

    def __init__(self, note, log, witnesses=(), quorum=0):
        note = note.decode()
        demand(note.endswith("\n"), "the note does not end with a newline")
        end = note.rindex("\n\n")
        self.text, lines = note[: end + 1], note[end + 2 :].split("\n")[:-1]
        origin, size, root, *_ = self.text.split("\n")
        demand(origin == log.name, "the checkpoint is of another log")
        demand(size.isascii() and size.isdigit() and str(int(size)) == size, "the size is not a number")
        self.size, self.root = int(size), base64.b64decode(root, validate=True)
        demand(len(self.root) == 32, "the root is not a hash")
        self.signed, self.times = False, {}
        for line in lines:
            dash, name, encoded = line.split(" ")
            demand(dash == "\u2014", "a signature line does not begin with a dash")
            raw = base64.b64decode(encoded, validate=True)
            for key in [log, *witnesses]:
                if (key.name, key.identity) == (name, raw[:4]):
                    time = key.verify(self.text, raw[4:])
                    if key is log:
                        self.signed = True
                    else:
                        self.times[key.public] = time
        demand(self.signed, "the log has not signed the checkpoint")
        demand(len(self.times) >= quorum, f"{len(self.times)} witnesses have cosigned, {quorum} must")


# ---- The tree of the log (RFC 6962, RFC 9162) and its tiles (C2SP tlog-tiles) ----------------------------------


def leaf_hash(entry):
    return sha256(b"\x00", entry)


def node_hash(left, right):
    return sha256(b"\x01", left, right)


def tree_hash(hashes):
    """RFC 6962 section 2.1 over leaf hashes; level by level, since an odd one at the end moves up as it is."""
    if not hashes:
        return sha256()
    while len(hashes) > 1:
        pairs = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes) - 1, 2)]
        hashes = pairs + hashes[len(pairs) * 2 :]
    return hashes[0]


def included(leaf, index, size, root, proof):
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        return False
    at, last, result = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            result = node_hash(step, result)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            result = node_hash(result, step)
        at >>= 1
        last >>= 1
    return last == 0 and result == root


def tile_path(level, number, width):
    elements = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        elements.insert(0, f"x{number % 1000:03}")
    return os.path.join("tile", str(level), *elements) + ("" if width == 256 else f".p/{width}")


def tiles(directory, level, count):
    """The files of a level that together have so many items: (number of items, content) each."""
    for number in range((count + 255) // 256):
        width = min(256, count - number * 256)
        with open(os.path.join(directory, tile_path(level, number, width)), "rb") as file:
            yield width, file.read()


def read_entries(directory, size):
    for width, bundle in tiles(directory, "entries", size):
        at = 0
        for _ in range(width):
            demand(at + 2 <= len(bundle), "an entry bundle is too short")
            length = struct.unpack_from(">H", bundle, at)[0]
            demand(at + 2 + length <= len(bundle), "an entry bundle is too short")
            yield bundle[at + 2 : at + 2 + length]
            at += 2 + length
        demand(at == len(bundle), "an entry bundle is too long")


def check_hash_tiles(directory, leaves):
    """Every tile of every level has the hashes that follow from the leaves."""
    level, hashes = 0, leaves
    while hashes:
        written = b"".join(content for _, content in tiles(directory, level, len(hashes)))
        demand(written == b"".join(hashes), f"the tiles of level {level} are not those of the entries")
        full = len(hashes) // 256
        hashes = [tree_hash(hashes[256 * at : 256 * (at + 1)]) for at in range(full)]
        level += 1


# ---- Entries, commitments and the index -----------------------------------------------------------------------

NONE = 2**64 - 1


class Update:
    def __init__(self, entry):
        kind = entry[1]
        demand(len(entry) == (78 if kind == 1 else 46), "an update has another length")
        self.entry, self.label = entry, entry[2:34]
        self.sequence, self.previous = struct.unpack(">IQ", entry[34:46])
        demand(self.sequence > 0, "a sequence begins with 1")
        demand((self.sequence == 1) == (self.previous == NONE), "only the first entry has none before it")
        self.commitment = entry[46:] if kind == 1 else None

    def value(self, before):
        return sha256(b"\x02", before, leaf_hash(self.entry))


class Root:
    def __init__(self, entry):
        demand(len(entry) == 82, "a root has another length")
        self.entry = entry
        self.time, self.labels, self.index, self.vrf = struct.unpack(">QQ32s32s", entry[2:])


def parse_entry(entry):
    demand(len(entry) >= 2 and entry[0] == 1 and entry[1] <= 2, "a leaf is not an entry of a key log")
    return Root(entry) if entry[1] == 0 else Update(entry)


def commitment(salt, label, keys):
    return sha256(b"gatepost key log commitment v1\n", salt, label, keys)


def check_key_set(keys):
    demand(len(keys) == 1 + 33 * keys[0], "a key set has another length")
    items = [keys[at : at + 33] for at in range(1, len(keys), 33)]
    demand(all(item[0] in (1, 2) for item in items), "a key set has a certificate of an unknown kind")
    demand(all(a < b for a, b in zip(items, items[1:])), "a key set is not in ascending order")


def bit(label, number):
    return label[number // 8] >> (7 - number % 8) & 1


def index_leaf(label, value):
    return sha256(b"\x00\x20", label, b"\x20", value)


def index_node(at, left, right):
    varint = bytes([at]) if at < 128 else bytes([at, 1])
    return sha256(b"\x01", varint, left, right)


def index_root(items, at=0):
    """The root over ascending (label, value), straight from the definition."""
    if not items:
        return sha256()
    if len(items) == 1:
        return index_leaf(*items[0])
    first, last = items[0][0], items[-1][0]
    while bit(first, at) == bit(last, at):
        at += 1
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if bit(items[middle][0], at):
            high = middle
        else:
            low = middle + 1
    return index_node(at, index_root(items[:low], at + 1), index_root(items[low:], at + 1))


def root_by_path(label, value, path):
    result, below = index_leaf(label, value), 256
    for at, sibling in path:
        demand(at < below, "the bits of the path do not decrease")
        below = at
        left, right = (sibling, result) if bit(label, at) else (result, sibling)
        result = index_node(at, left, right)
    return result


# ---- What can be asked ----------------------------------------------------------------------------------------


def audit(directory, log, witnesses, quorum):
    with open(os.path.join(directory, "checkpoint"), "rb") as file:
        checkpoint = Checkpoint(file.read(), log, witnesses, quorum)
    newest, values, leaves, vrf, entry, updates = {}, {}, [], None, None, 0
    for number, raw in enumerate(read_entries(directory, checkpoint.size)):
        leaves.append(leaf_hash(raw))
        entry = parse_entry(raw)
        if isinstance(entry, Update):
            sequence, previous = newest.get(entry.label, (0, NONE))
            demand(entry.sequence == sequence + 1, f"entry {number} has not the next sequence of its label")
            demand(entry.previous == previous, f"entry {number} does not name the entry before it")
            newest[entry.label] = (entry.sequence, number)
            values[entry.label] = entry.value(values.get(entry.label, bytes(32)))
            updates += 1
        else:
            demand(vrf in (None, entry.vrf), f"entry {number} names another VRF key")
            vrf = entry.vrf
            demand(entry.labels == len(values), f"entry {number} counts other labels")
            demand(entry.index == index_root(sorted(values.items())), f"entry {number} has a wrong index root")
        demand(number > 0 or isinstance(entry, Root), "the first entry is not a root")
    demand(isinstance(entry, Root), "the last entry is not a root")
    demand(tree_hash(leaves) == checkpoint.root, "the entries have another root than the checkpoint")
    check_hash_tiles(directory, leaves)
    return f"size {checkpoint.size} labels {len(values)} updates {updates} witnesses {len(checkpoint.times)}"


def consistent(directory, log, old):
    with open(os.path.join(directory, "checkpoint"), "rb") as file:
        new = Checkpoint(file.read(), log)
    with open(old, "rb") as file:
        old = Checkpoint(file.read(), log)
    demand(old.size <= new.size, "the log has become shorter")
    leaves = [leaf_hash(entry) for entry in read_entries(directory, new.size)]
    demand(tree_hash(leaves) == new.root, "the entries have another root than the checkpoint")
    demand(tree_hash(leaves[: old.size]) == old.root, "the log does not continue the old checkpoint")
    return f"size {old.size} to {new.size}"


class Bytes:
    """Takes bytes off the front."""

    def __init__(self, content):
        self.rest = content

    def take(self, count):
        demand(len(self.rest) >= count, "the proof is too short")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


def lookup(proof, mailbox, log, vrf, witnesses, quorum):
    proof = Bytes(proof)
    demand(proof.take(4) == b"GKL1", "this is no look-up proof")
    flags = proof.take(1)[0]
    demand(flags < 16 and flags & 6 != 2, "unknown flags")
    demand(flags & 1, "the proof has no VRF proof")
    label = vrf_label(vrf, mailbox.encode(), proof.take(80))
    newest = other = None
    if flags & 6 == 6:
        newest = parse_entry(proof.take(proof.take(1)[0]))
        demand(isinstance(newest, Update) and newest.label == label, "the newest entry is of another label")
        end, value = label, newest.value(proof.take(32))
    elif flags & 4:
        end, value = other, _ = proof.take(32), proof.take(32)
    path = [(proof.take(1)[0], proof.take(32)) for _ in range(struct.unpack(">H", proof.take(2))[0])]
    root = parse_entry(proof.take(82))
    demand(isinstance(root, Root) and root.vrf == vrf, "the root is none, or of another VRF key")
    inclusion = [proof.take(32) for _ in range(proof.take(1)[0])]
    salt = keys = None
    if flags & 8:
        salt, count = proof.take(32), proof.take(1)
        keys = count + proof.take(33 * count[0])
        check_key_set(keys)
    checkpoint = Checkpoint(proof.rest, log, witnesses, quorum)
    last = checkpoint.size - 1
    demand(last >= 0, "the log is empty")
    leaf = leaf_hash(root.entry)
    demand(included(leaf, last, checkpoint.size, checkpoint.root, inclusion), "the root is not the last leaf")
    if flags & 4:
        demand(root_by_path(end, value, path) == root.index, "the path does not lead to the root of the index")
    else:
        demand(root.index == sha256() and not path, "the index is not empty")
    if newest is None:
        if other is not None:
            demand(other != label, "the label is there")
            demand(all(bit(label, at) == bit(other, at) for at, _ in path), "the search would take another turn")
        demand(keys is None, "an absent label has nothing to open")
        return "absent", checkpoint, 0
    if newest.commitment is None:
        demand(keys is None, "an erased label has nothing to open")
        return "erased", checkpoint, 0
    if keys is not None:
        demand(commitment(salt, label, keys) == newest.commitment, "the key set is not the committed one")
    return "keys", checkpoint, keys[0] if keys else 0


def main():
    parser = argparse.ArgumentParser(description="verifies a key log")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in {
        "audit": ["directory", "logkey"],
        "lookup": ["proof", "mailbox", "logkey", "vrfkey"],
        "consistent": ["directory", "logkey", "old"],
        "vrf": ["vrfkey", "mailbox", "proof"],
    }.items():
        command = commands.add_parser(name)
        for argument in arguments:
            command.add_argument(argument)
        command.add_argument("--witness", action="append", default=[])
        command.add_argument("--quorum", type=int, default=0)
        command.add_argument("--expect", choices=["keys", "erased", "absent"])
    options = parser.parse_args()
    try:
        print(run(options))
    except (Refused, OSError, ValueError, IndexError, struct.error, binascii.Error) as error:
        print(f"keylog.py: {error}", file=sys.stderr)
        return 1
    return 0


def run(options):
    if options.command == "vrf":
        return vrf_label(bytes.fromhex(options.vrfkey), options.mailbox.encode(), bytes.fromhex(options.proof)).hex()
    log, witnesses = Key(options.logkey), [Key(text) for text in options.witness]
    if options.command == "audit":
        return audit(options.directory, log, witnesses, options.quorum)
    if options.command == "consistent":
        return consistent(options.directory, log, options.old)
    with open(options.proof, "rb") as file:
        proof = file.read()
    vrf = bytes.fromhex(options.vrfkey)
    found, checkpoint, count = lookup(proof, options.mailbox, log, vrf, witnesses, options.quorum)
    demand(options.expect in (None, found), f"the log says {found}")
    return f"{found} certificates {count} size {checkpoint.size} witnesses {len(checkpoint.times)}"


if __name__ == "__main__":
    sys.exit(main())
