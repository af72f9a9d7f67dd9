#!/usr/bin/env python3
"""Writes vectors.json: the stored formats of package envelope, made by other code.

Needs the Python package "cryptography" (>= 44, for Argon2id). The formats are
taken from the package doc, not from the Go code; run it only to add vectors for
a new version, and never change those of an old one: they stand for stores that
exist.
"""
import base64, hashlib, json, os, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.hashes import SHA256


def hkdf(secret, salt, info, n):
    return HKDF(SHA256(), n, salt or None, info.encode()).derive(secret)


def fixed(label, n):
    return hashlib.shake_128(label.encode()).digest(n)


def box(key, label, run, nonce, header, plaintext, aad):
    ad = struct.pack(">I", len(header)) + header + run + aad
    ct = AESGCM(hkdf(key, run, label, 32)).encrypt(nonce, plaintext, ad)
    return header + run + nonce + ct


def header(key):
    return b"\x01" + hkdf(key, b"", "coffer/envelope/v1/key-id", 8)


def seal(key, n, plaintext, aad, label="seal"):
    return box(key, "coffer/envelope/v1/" + label, fixed("run" + n, 16), fixed("nonce" + n, 12), header(key), plaintext, aad)


def keyfile(key):
    tag = b"coffer-root-key-v1:"
    return (tag + base64.b64encode(key + hashlib.sha256(tag + key).digest()[:4]) + b"\n").decode()


def passphrase(text, t, m, p):
    head = b"\x01" + struct.pack(">IIB", t, m, p) + fixed("salt", 16)
    key = Argon2id(salt=fixed("salt", 16), length=32, iterations=t, lanes=p, memory_cost=m).derive(text.encode())
    head += hkdf(key, b"", "coffer/envelope/v1/passphrase-check", 32)
    head += hashlib.sha256(head).digest()[:4]
    return key, head


root, store, store2, secret = (fixed(x, 32) for x in ("root", "store", "store2", "secret"))
pkey, phead = passphrase("correct horse battery", 2, 8192, 3)
out = {
    "seal": [
        {"key": store.hex(), "aad": a.hex(), "plaintext": p.hex(), "blob": seal(store, str(i), p, a).hex()}
        for i, (p, a) in enumerate([(b"", b""), (b"value", b""), (b"", b"table\0row"), (b"value", b"table\0row"), (fixed("long", 1024), fixed("aad", 300))])
    ],
    "key_file": {"line": keyfile(root), "wrapped_plaintext": b"material".hex(), "wrapped_aad": b"aad".hex(),
                 "wrapped": seal(root, "w", b"material", b"aad", "wrap").hex()},
    "passphrase": {"passphrase": "correct horse battery", "time": 2, "memory": 8192, "threads": 3, "header": phead.hex(),
                   "wrapped_plaintext": b"material".hex(), "wrapped_aad": b"aad".hex(),
                   "wrapped": seal(pkey, "p", b"material", b"aad", "wrap").hex()},
    "keyring": {"blob": (b"\x01" + seal(root, "k", secret + store + store2, b"coffer/envelope/v1/keyring", "wrap")).hex(),
                "old_row": seal(store, "o", b"old", b"row").hex(), "new_row": seal(store2, "n", b"new", b"row").hex(),
                "derive_label": "audit",
                "derived_mac_of_abc": __import__("hmac").new(hkdf(secret, b"", "coffer/envelope/v1/derive/audit", 32), b"abc", "sha256").hexdigest()},
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as f:
    json.dump(out, f, indent=1)
    f.write("\n")
