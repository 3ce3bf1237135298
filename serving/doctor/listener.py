"""What gRPC calls arrive at: the library of the compiled listener, and memory for its largest message."""

from serving.doctor.aside import aside
from serving.doctor.finding import Findings, failed, ok, warning
from serving.doctor.installation import Installation
from serving.errors import SettingsError
from serving.listeners.h2.library import NAME, library

ROOM = 3
"""How much memory a message needs at most while it comes, in its own bytes: its buffer grows by doubling."""


async def check(installation: Installation) -> Findings:
    """EPM_LISTENER: libnghttp2 where it is needed; EPM_MESSAGE_MEMORY_BYTES against EPM_MAX_MESSAGE_BYTES."""
    settings = installation.settings
    if settings.listener == "grpc_aio":
        yield ok("EPM_LISTENER: grpc_aio, which needs nothing else")
        return
    try:
        version = await aside(_version)
    except SettingsError as error:
        yield failed(error.message, "apt-get install libnghttp2-14, or its like, or set EPM_LISTENER to grpc_aio")
        return
    yield ok(f"EPM_LISTENER: {settings.listener}, by {NAME} {version}")
    share, largest = settings.message_memory_bytes // settings.loop_threads, settings.max_message_bytes
    threads = "" if settings.loop_threads == 1 else f", for each of {settings.loop_threads} threads {share}"
    words = f"EPM_MESSAGE_MEMORY_BYTES: {settings.message_memory_bytes}{threads}; the largest message is {largest}"
    if share < ROOM * largest:
        advice = f"at least {ROOM} times EPM_MAX_MESSAGE_BYTES for each thread: else the largest messages are refused"
        yield warning(words, advice)
    else:
        yield ok(words)


def _version() -> str:
    return str(library().nghttp2_version(0).contents.version_str.decode())
