#!/usr/bin/env python3
"""Writes vectors.json: the stored formats of package material, made by other code.

See ../../envelope/testdata/vectors.py for the rules.
"""
import base64, hashlib, json, os, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.hashes import SHA256


def hkdf(secret, salt, info, n):
    return HKDF(SHA256(), n, salt or None, info.encode()).derive(secret)


def fixed(label, n):
    return hashlib.shake_128(label.encode()).digest(n)


def box(key, label, n, header, plaintext, aad):
    run, nonce = fixed("run" + n, 16), fixed("nonce" + n, 12)
    ad = struct.pack(">I", len(header)) + header + run + aad
    return header + run + nonce + AESGCM(hkdf(key, run, label, 32)).encrypt(nonce, plaintext, ad)


def lp(b):
    return struct.pack(">H", len(b)) + b


def canonical(context):
    if not context:
        return b""
    pairs = sorted((k.encode(), v.encode()) for k, v in context.items())
    return struct.pack(">H", len(pairs)) + b"".join(lp(k) + lp(v) for k, v in pairs)


def vector(n, root, key_id, plaintext, context):
    mat = fixed("material" + n, 32)
    inner = b"\x01" + mat
    mid = hkdf(inner, key_id.encode(), "coffer/material/v1/material-id", 32)
    aad = b"coffer/material/v1/wrap" + lp(key_id.encode()) + mid
    rh = b"\x01" + hkdf(root, b"", "coffer/envelope/v1/key-id", 8)
    wrapped = b"\x01" + box(root, "coffer/envelope/v1/wrap", "w" + n, rh, inner, aad)
    form = 1 if key_id.startswith("mrk-") else 0
    head = bytes([1, 0, form]) + bytes.fromhex(key_id.removeprefix("mrk-").replace("-", "")) + mid
    blob = box(mat, "coffer/material/v1/encrypt", "e" + n, head, plaintext, canonical(context))
    return {"key_id": key_id, "material_id": mid.hex(), "wrapped": wrapped.hex(),
            "context": context, "plaintext": plaintext.hex(), "blob": blob.hex()}


root = fixed("root", 32)
tag = b"coffer-root-key-v1:"
uuid, mrk = "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"
arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"
out = {
    "key_file": (tag + base64.b64encode(root + hashlib.sha256(tag + root).digest()[:4]) + b"\n").decode(),
    "vectors": [
        vector("0", root, uuid, b"x", None),
        vector("1", root, uuid, fixed("data key", 32), {"SecretVersionId": "0c1d", "SecretARN": arn}),
        vector("2", root, mrk, b"multi-Region", {"": "empty key", "empty value": "", "ä": "ö"}),
        vector("3", root, uuid, fixed("long", 4096), {"k%d" % i: "v" * i for i in range(20)}),
    ],
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as f:
    json.dump(out, f, indent=1, ensure_ascii=False)
    f.write("\n")
