"""Where Redis is and who we are there."""

import asyncio
import ssl
from urllib.parse import parse_qsl, unquote, urlsplit

from serving.errors import SettingsError
from serving.redis.connection import Command, Connection


class Address:
    """A URL: redis://user:password@host:port/db, rediss:// with the same, unix://user:password@/path?db=0.

    Options of rediss://, named as redis-py names them: ssl_ca_certs (file; else the authorities of the system),
    ssl_certfile and ssl_keyfile (who we are), ssl_cert_reqs=none (trust anybody). Has no repr: there is a password in
    it. Raises SettingsError for anything else, without repeating it.
    """

    def __init__(self, url: str, setting: str) -> None:
        """setting: where the URL comes from; errors name it."""
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "localhost", parts.port or 6379
            options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            is_unix = parts.scheme == "unix"
            self._path = unquote(parts.path) if is_unix else None
            self._db = int(options.pop("db", "0") if is_unix else options.pop("db", parts.path[1:] or "0"))
        except ValueError:
            raise _wrong(setting, "something else") from None
        if parts.scheme not in ("redis", "rediss", "unix") or parts.fragment:
            raise _wrong(setting, "something else")
        if is_unix and (parts.netloc.rpartition("@")[2] or len(parts.path) < 2):
            raise _wrong(setting, "a unix:// URL with a host or without a path")
        self._user, self._password = unquote(parts.username or "") or "default", unquote(parts.password or "")
        try:
            self._tls = _tls(options) if parts.scheme == "rediss" else None
        except (OSError, ValueError):
            raise _wrong(setting, "TLS options that cannot be used") from None
        if options:
            raise _wrong(setting, "an option that is not known")

    @property
    def where(self) -> str:
        """host:port, or the path of the socket; nothing of who we are there."""
        return f"{self._host}:{self._port}" if self._path is None else self._path

    async def open(self, connection: Connection) -> None:
        """Connect. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self._path is not None:
            await loop.create_unix_connection(lambda: connection, self._path)
        else:
            await loop.create_connection(lambda: connection, self._host, self._port, ssl=self._tls)

    def greetings(self) -> list[Command]:
        """What is said first on a new connection."""
        who = ("AUTH", self._user, self._password) if self._password else ()
        hello: Command = ("HELLO", 3, *who, "SETNAME", "epm")
        return [hello, ("SELECT", self._db)] if self._db else [hello]


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    """A context from options, which are taken out. Raises OSError, ValueError."""
    context = ssl.create_default_context(cafile=options.pop("ssl_ca_certs", None))
    certificate, key = options.pop("ssl_certfile", None), options.pop("ssl_keyfile", None)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    match options.pop("ssl_cert_reqs", "required"):
        case "none":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        case "required":
            pass
        case _:
            raise ValueError
    return context


def _wrong(setting: str, came: str) -> SettingsError:
    expected = "redis://host:port/db, rediss://host:port/db or unix:///path"
    return SettingsError(f"{setting}: got {came}, expected {expected}", field=setting)
