"""An authority of the tests' own and the certificates that it signs, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def make_authority(folder: Path) -> Path:
    """Make an authority (ca.key, ca.crt) and return its certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kgplug tests",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", folder / "ca.key", "-out", folder / "ca.crt")  # fmt: skip
    return folder / "ca.crt"


def sign(authority: Path, folder: Path, *, names: str) -> None:
    """Make a server's private.key and public.crt, in the files that Neo4j looks for.

    Args:
        authority: certificate of the authority, whose key lies beside it.
        folder: of the two files.
        names: what the certificate is for, such as "DNS:localhost,IP:127.0.0.1".
    """
    folder.mkdir(parents=True, exist_ok=True)
    request, extensions = folder / "request.csr", folder / "extensions"
    extensions.write_text(
        f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n"
        "keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\n"
    )
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kgplug test server",
             "-keyout", folder / "private.key", "-out", request)  # fmt: skip
    _openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.with_name("ca.key"),
             "-set_serial", "1", "-days", "2", "-extfile", extensions, "-out", folder / "public.crt")  # fmt: skip


def _openssl(*arguments: str | Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command to make certificates with")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)
