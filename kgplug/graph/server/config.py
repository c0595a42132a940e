"""The configuration files, password and command line of the local Neo4j that kgplug manages."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import psutil
from pydantic import SecretStr

from kgplug.graph.server.java import Java
from kgplug.graph.server.versions import Neo4jVersion

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_MB = 1 << 20
_HASH_ROUNDS = 1024

# The options that the script bin/neo4j of Neo4j 5.26 passes to Java.
_JVM_OPTIONS = (
    "-XX:+UseG1GC",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:+UnlockExperimentalVMOptions",
    "-XX:+TrustFinalNonStaticFields",
    "-XX:+DisableExplicitGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djdk.nio.maxCachedBufferSize=1024",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djdk.tls.ephemeralDHKeySize=2048",
    "-Djdk.tls.rejectClientInitiatedRenegotiation=true",
    "-Dlog4j2.disable.jmx=true",
    "-Dfile.encoding=UTF-8",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
)


def heap_bytes() -> int:
    """Return the maximum heap size of the server in bytes: an eighth of the memory, clipped to [512 MB, 2 GB]."""
    return min(max(_memory_bytes() // 8, 512 * _MB), 2048 * _MB)


def write_config(home: Path, port: int, *, data: Path, further: Mapping[str, str] | None = None) -> None:
    """Write neo4j.conf: listen on loopback only, require a login, send no usage reports.

    Args:
        home: home folder of the server.
        port: port for Bolt, Neo4j's protocol.
        data: folder of the store, inside `home`.
        further: further settings, name → value; they take precedence.
    """
    page_cache = min(max(_memory_bytes() // 32, 64 * _MB), 512 * _MB)
    settings = {
        "server.default_listen_address": "127.0.0.1",
        "server.default_advertised_address": "127.0.0.1",
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": f"127.0.0.1:{port}",
        "server.bolt.advertised_address": f"127.0.0.1:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "server.directories.import": "import",
        "server.directories.data": data.relative_to(home).as_posix(),
        "server.memory.pagecache.size": f"{page_cache // _MB}m",
        "dbms.security.auth_enabled": "true",
        "dbms.usage_report.enabled": "false",
        # Otherwise, stopping waits 5 s for the threads of idle connections.
        "internal.server.bolt.thread_pool_shutdown_wait_time": "500ms",
        # Otherwise, the transaction log takes 512 MB of disk before the first write.
        "db.tx_log.preallocate": "false",
        "db.tx_log.rotation.retention_policy": "2 files",
        **(further or {}),
    }
    (home / "conf").mkdir(parents=True, exist_ok=True)
    (home / "import").mkdir(exist_ok=True)
    lines = ["# Written by kgplug at every start.", *(f"{name}={value}" for name, value in settings.items())]
    (home / "conf" / "neo4j.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def command_line(home: Path, version: Neo4jVersion, java: Java, jars: list[Path]) -> list[str]:
    """Return the command that starts the server. Write Java's options to a file, from which Java reads them.

    Args:
        home: home folder of the server.
        version: version of Neo4j.
        java: Java runtime to use.
        jars: paths of the server's jars, in class path order.
    """
    heap = heap_bytes() // _MB
    options = [
        *_JVM_OPTIONS,
        f"-Xms{min(heap, 256)}m",
        f"-Xmx{heap}m",
        _argument(f"-Djna.tmpdir={home / 'run'}"),  # otherwise JNA unpacks its library into the user's ~/.cache
        "-cp",
        _argument(os.pathsep.join(str(jar) for jar in jars)),
    ]
    arguments = arguments_file(home)
    arguments.write_text("\n".join(options) + "\n", encoding="utf-8")
    return [
        str(java.path),
        f"@{arguments}",
        version.main_class,
        f"--home-dir={home}",
        f"--config-dir={home / 'conf'}",
        "--console-mode",  # also log to standard output, only for this start
    ]


def arguments_file(home: Path) -> Path:
    """Return the path of the file with Java's options.

    kgplug recognizes the server of this home folder by the argument "@" + this path in its command line.
    """
    return home / "conf" / "java.arguments"


def set_first_password(home: Path, data: Path) -> SecretStr:
    """Choose, store and return a password before the first start, so that the server never has the default password.

    The server reads a salted hash from the file dbms/auth.ini in its folder `data`, in the format of `neo4j-admin dbms
    set-initial-password`. The password itself goes into a file that only its owner can read.
    """
    password, salt = secrets.token_urlsafe(24), secrets.token_bytes(32)
    digest = salt + password.encode()
    for _ in range(_HASH_ROUNDS):
        digest = hashlib.sha256(digest).digest()
    _write_private(password_file(home), password + "\n")
    line = f"neo4j:SHA-256,{digest.hex()},{salt.hex()},{_HASH_ROUNDS}:\n"
    _write_private(data / "dbms" / "auth.ini", line)
    return SecretStr(password)


def password_file(home: Path) -> Path:
    """Return the path of the file with the password of the user neo4j."""
    return home / "password"


def _write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _argument(text: str) -> str:
    """Return an argument in quotes, for Java's argument file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _memory_bytes() -> int:
    """Return the memory of the machine or, if smaller, of the container, in bytes."""
    total = psutil.virtual_memory().total
    try:
        return min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return total
