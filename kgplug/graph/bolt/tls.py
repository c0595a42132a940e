"""Encrypted connections to a server whose certificate was signed by your own authority.

For the schemes bolt+s and neo4j+s, the driver trusts only the system's certificate authorities. So if a file with other
authorities is given, kgplug passes the driver the plain scheme, bolt or neo4j, and an SSL context that trusts only the
authorities in this file. Host names are also verified.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kgplug.errors import GraphError

VERIFIED_SCHEMES = ("bolt+s", "neo4j+s")


def driver_address(uri: str, ca_file: Path | None) -> tuple[str, dict[str, Any]]:
    """Return the URI and the keyword arguments with which the driver trusts the certificate authorities in a file.

    Args:
        uri: a valid Neo4j URI.
        ca_file: PEM file with the certificates of the authorities to trust. None: trust those of the system.

    Raises:
        GraphError: the file cannot be used, or the URI does not ask for verified encryption.
    """
    if ca_file is None:
        return uri, {}
    scheme = urlsplit(uri).scheme
    if scheme not in VERIFIED_SCHEMES:
        raise GraphError(
            f"A certificate file is set ({ca_file}), but {scheme}:// does not verify certificates. "
            "Use bolt+s:// or neo4j+s:// in the Neo4j URI, or unset NEO4J_CA_FILE."
        )
    plain = scheme.removesuffix("+s") + uri[len(scheme) :]
    return plain, {"ssl_context": _context(ca_file)}


def _context(ca_file: Path) -> ssl.SSLContext:
    """Return an SSL context that trusts only the authorities in a file and verifies host names."""
    expected = "Set NEO4J_CA_FILE to a PEM file with the certificate of the authority that signed the server's."
    try:
        context = ssl.create_default_context(cafile=str(ca_file.expanduser()))
    except ssl.SSLError as error:
        raise GraphError(f"{ca_file} contains no certificate in PEM format. {expected}") from error
    except (OSError, ValueError, RuntimeError) as error:  # no such file; a NUL in the name; no home for ~
        reason = getattr(error, "strerror", None) or str(error)
        raise GraphError(f"The certificate file {ca_file} cannot be read ({reason}). {expected}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
