"""What Codex runs for a session's tools: carries each line to the host, and its answer back.

Started by the launcher file as ``python -I -S mcp_pipe.py SOCKET``, once for each thread. Codex
never starts it again, so it outlives every host: it connects anew for each line, starts the host
where none answers, and says by itself what to do while none does. It ends when its stdin does.
There is one for each session, so it is small: it imports little (`json` would be a quarter of its
memory), and `Pipe.shrink` gives back what it needs for its work alone.
"""

import _json
import _socket
import _thread
import posix
import select
import sys
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time it would be one more import
    from collections.abc import Callable, Iterator

LINE_BYTES = 1024 * 1024
"""The longest line that is taken; a message of the largest size fits."""
ANSWER_BYTES = 16 * 1024 * 1024
CHUNK = 64 * 1024
WAIT_S = 2.2
"""Seconds that a call waits for a host to come up."""
SILENCE_S = 2.0
"""Seconds without an answer after which the host is asked whether it lives."""
ALIVE_S = 0.7
"""Seconds that a host has for saying so."""
QUICK_S = 2.0
"""Seconds for what any host answers at once."""
LOOK_S = 0.05
AGAIN_S = 1.0
"""Seconds between two tries to start the host; there is one at a time."""
OFFLINE_S = 6.0
"""Seconds that Python has to answer for a host that is not there."""
MOST_AT_ONCE = 64
MOST_ARGUMENT = 100_000
TYPE_AND_OTHERS = 0o170077
FOLDER_OF_MINE = 0o040000

QUIET_MS = 1_000
"""How long no line comes before the pipe gives memory back."""
SHELL = "/bin/sh"
PLACE = ("sh", "-c", "read line; exit 0", "agent-relay-tools")
"""What stays where the client started the pipe, and ends with it: nobody writes that line.

Named by its last word; some shells look at the first one for what they are to be.
"""
HOST = ("-m", "relay_cli", "up", "--detach")
LAUNCHER = "/.local/share/agent-relay/launcher"
LAUNCHER_BYTES = 16 * 1024
STARTS_HOST = b"\n  host) "
OFFLINE = ("-I", "-m", "relay_plugins.codex.tools")
OPERATION = b'{"v":1,"op":"codex.tools","body":{"request":%b,"parent":%d}}\n'
PING = b'{"v":1,"op":"ping","body":null}\n'
DONE = b'{"ok":true,"body":'
NOTHING_ELSE = b',"code":null,"detail":null,"fix":null}'
NOT_JSON, NOT_A_REQUEST, INTERNAL = -32700, -32600, -32603

DOWN = (
    "Agent Relay's host is not running; it is being started now. Nothing was done. Call the tool "
    "again in a few seconds. If it still fails, tell your user to run `agent-relay up --detach`."
)
UNSURE = (
    "Agent Relay's host went away while it worked on this. Call the tool again in a few seconds, "
    "but look with relay_thread or relay_status first whether it was done."
)
HUNG = (
    "Agent Relay's host runs and does not answer. Whether this was done is not known. Tell your "
    "user to run `agent-relay status`."
)
UNSAFE = (
    "The folder of Agent Relay's control socket belongs to somebody else, so nothing was sent. "
    "Tell your user to run `agent-relay up`, which says what to do."
)
BUSY = "Too many tool calls at once. Nothing was done. Call the tool again when others have ended."

Fields = dict[str, object]


class Down(Exception):
    """No host listens; `sent` tells whether one may have got the line."""

    def __init__(self, *, sent: bool = False) -> None:
        self.sent = sent


class Hung(Exception):
    """A host took the line and says nothing any more."""


class Unsafe(Exception):
    """Somebody else may listen on the socket."""


class Pipe:
    """One session's pipe: several lines may be under way at once."""

    def __init__(self, path: str, client: int) -> None:
        self.path = path
        self.client = client
        self.has_moved = False
        self.ended = self.running = -1
        self.writing = _thread.allocate_lock()
        self.counting = _thread.allocate_lock()
        self.under_way = 0
        self.starting = False
        self.started_at = -AGAIN_S

    # Lines in ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Take lines until stdin ends; what is under way then gets a moment to end."""
        for line in lines(0, self.shrink):
            self.take(line)
        give_up = monotonic() + WAIT_S + ALIVE_S
        while self.under_way and monotonic() < give_up:
            sleep(LOOK_S)

    def take(self, line: bytes | None) -> None:
        """Take one line; None is one that was too long."""
        if line is None:
            return self.say(failure(None, NOT_A_REQUEST, f"a line has {LINE_BYTES} bytes at most"))
        if not line.strip():
            return None
        request = read_object(line)
        if request is None:
            return self.say(failure(None, NOT_JSON, "a line is one JSON object"))
        if not isinstance(request.get("method"), str):
            # An answer to a question that was never asked needs none.
            known = "result" in request or "error" in request
            return (
                None if known else self.say(failure(request, NOT_A_REQUEST, "no method is named"))
            )
        if request.get("id") is None:
            return None  # Only the client's news has no id, and the host keeps none.
        with self.counting:
            room = self.under_way < MOST_AT_ONCE
            self.under_way += room
        if not room:
            return self.say(refusal(request, BUSY))
        _thread.start_new_thread(self.carry, (line, request))
        return None

    def carry(self, line: bytes, request: Fields) -> None:
        """Bring a line to the host and its answer to the client."""
        try:
            self.say(self.answer(line, request))
        except Exception as error:  # noqa: BLE001 - whatever it was, the client waits for a line
            self.say(failure(request, INTERNAL, f"Agent Relay's pipe: {error!r}"))
        finally:
            with self.counting:
                self.under_way -= 1

    def say(self, answer: bytes) -> None:
        """Write one line to the client."""
        data = answer + b"\n"
        with self.writing:
            while data:
                data = data[posix.write(1, data) :]

    def shrink(self) -> bool:
        """Go on as a child of this process; False while something is under way.

        Starting and working touch nearly all of Python's code, 4 MB that count for the pipe where
        no other Python runs. A child begins with none of it, and takes what it needs.
        """
        with self.counting:  # a lock that a thread held would stay held in the child
            if self.under_way or self.starting:
                return False
            try:
                if self.running < 0:
                    self.ended, self.running = posix.pipe()
                if posix.fork():
                    self.leave()
            except OSError:
                return True  # there is no room for another process, and this one goes on
            self.has_moved = True
        return True

    def leave(self) -> None:
        """End this process; the one that the client started stays until the child ends."""
        if not self.has_moved:
            posix.dup2(self.ended, 0)
            posix.close(1)
            posix.execv(SHELL, PLACE)
        posix._exit(0)  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - `os` is slow to import

    # Answers -------------------------------------------------------------------------------------

    def answer(self, line: bytes, request: Fields) -> bytes:
        """Ask the host, or answer for it."""
        if request["method"] != "tools/call":
            return self.answer_quickly(line, request)
        try:
            return checked(self.ask_patiently(self.for_host(line), request), request)
        except Down as down:
            return refusal(request, UNSURE if down.sent else DOWN)
        except Hung:
            return refusal(request, HUNG)
        except Unsafe:
            return refusal(request, UNSAFE)

    def for_host(self, line: bytes) -> bytes:
        """Write the line for the host; carriage returns in JSON are nothing but space."""
        return OPERATION % (line.strip(), self.client)

    def answer_quickly(self, line: bytes, request: Fields) -> bytes:
        """Answer what needs no session; a thread must get its tools while the host is down."""
        try:
            return checked(ask(self.path, self.for_host(line), QUICK_S), request)
        except (Down, Hung, Unsafe) as fault:
            if isinstance(fault, Down):
                self.start_host()
        if request["method"] == "ping":
            return answered(request, {})
        said = offline(line.strip())
        return said or failure(request, INTERNAL, "Agent Relay is not installed any more")

    def ask_patiently(self, line: bytes, request: Fields) -> bytes:
        """Ask the host, and wait a little for one that is not there.

        A line whose answer was lost is sent again where it names its call: it acts once then.
        """
        give_up = monotonic() + WAIT_S
        sent = False
        while True:
            try:
                return ask(self.path, line)
            except Down as down:
                sent |= down.sent
            self.start_host()
            if sent and not names_call(request):
                raise Down(sent=True)
            if monotonic() > give_up:
                raise Down(sent=sent)
            sleep(LOOK_S)

    # The host ------------------------------------------------------------------------------------

    def start_host(self) -> None:
        """Start the host, unless that is being tried or was a moment ago."""
        with self.counting:
            if self.starting or monotonic() - self.started_at < AGAIN_S:
                return
            self.starting = True
        _thread.start_new_thread(self.bring_up, ())

    def bring_up(self) -> None:
        """Run the command that starts the host, and wait for its end."""
        nowhere: list[tuple[object, ...]] = [
            (posix.POSIX_SPAWN_OPEN, number, "/dev/null", posix.O_RDWR, 0) for number in (0, 1, 2)
        ]
        try:
            reap(spawn(host_command(), nowhere))
        except OSError:
            pass  # this Python has gone; the client is told that there is no host
        finally:
            self.started_at = monotonic()
            self.starting = False


# --- talking to the host ---------------------------------------------------------------------


def ask(path: str, line: bytes, limit_s: float | None = None) -> bytes:
    """Send one line and read one; with a limit, or as long as the host is alive."""
    check_folder(path)
    client = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    sent = False
    try:
        client.settimeout(QUICK_S)
        client.connect(path)
        sent = True
        client.sendall(line)
        return read_answer(client, path, limit_s)
    except TimeoutError:
        raise Hung from None
    except OSError:
        raise Down(sent=sent) from None
    finally:
        client.close()


def read_answer(client: _socket.socket, path: str, limit_s: float | None) -> bytes:
    """Read a line; TimeoutError when the host is silent, ConnectionError when it has gone."""
    client.settimeout(SILENCE_S if limit_s is None else limit_s)
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        try:
            chunk = client.recv(CHUNK)
        except TimeoutError:
            # A tool may take long; a host that is stopped or stuck takes for ever.
            if limit_s is not None or not alive(path):
                raise
            continue
        size += len(chunk)
        if not chunk or size > ANSWER_BYTES:
            raise ConnectionResetError
        parts.append(chunk)
    return b"".join(parts).strip()


def alive(path: str) -> bool:
    """Tell whether the host answers anything at all."""
    try:
        return ask(path, PING, ALIVE_S).startswith(DONE)
    except (Down, Hung, Unsafe):
        return False


def check_folder(path: str) -> None:
    """Whoever owns the folder decides what the session is told."""
    try:
        found = posix.lstat(path.rpartition("/")[0])
    except OSError:
        raise Down from None
    if found.st_uid != posix.getuid() or found.st_mode & TYPE_AND_OTHERS != FOLDER_OF_MINE:
        raise Unsafe


def checked(line: bytes, request: Fields) -> bytes:
    """Take the answer out of the host's line, or say what it refused."""
    if line.startswith(DONE) and line.endswith(NOTHING_ELSE):
        return line[len(DONE) : -len(NOTHING_ELSE)]
    read = read_object(line) or {}
    if read.get("ok") is True:
        return written(read.get("body"))
    said = [str(read[name]) for name in ("detail", "fix") if read.get(name)]
    detail = "; ".join(said) or "its host's answer cannot be read"
    return refusal(request, f"Agent Relay: {detail}. Tell your user.")


# --- processes -------------------------------------------------------------------------------


def host_command() -> list[str]:
    """Find what starts the host: the launcher file, which knows the newest installation.

    This pipe may be older than that: it lives as long as its thread.
    """
    home = posix.environ.get(b"HOME", b"").decode("utf-8", "surrogateescape")
    launcher = home + LAUNCHER
    try:
        with open(launcher, "rb") as file:  # noqa: PTH123 - pathlib takes memory
            if STARTS_HOST in file.read(LAUNCHER_BYTES):
                return [launcher, "host"]
    except OSError:
        pass
    return [sys.executable, *HOST]


def spawn(words: list[str], files: "list[tuple[object, ...]]") -> int:
    """Start a program in a session of its own."""
    # fork() warns where threads run.
    return posix.posix_spawn(words[0], words, posix.environ, file_actions=files, setsid=True)


def reap(pid: int) -> None:
    """Wait for a child, so that nothing of it stays."""
    posix.waitpid(pid, 0)


def offline(line: bytes) -> bytes:
    """Let Python answer without a host; b"" where that fails."""
    if len(line) > MOST_ARGUMENT:
        return b""
    reader, writer = posix.pipe()
    give_up = monotonic() + OFFLINE_S
    try:
        pid = spawn(
            [sys.executable, *OFFLINE, line.decode()], [(posix.POSIX_SPAWN_DUP2, writer, 1)]
        )
    except OSError:
        posix.close(reader)
        return b""
    finally:
        posix.close(writer)
    _thread.start_new_thread(reap, (pid,))
    said = b""
    waiting = select.poll()
    waiting.register(reader, select.POLLIN)
    while (left := give_up - monotonic()) > 0 and waiting.poll(int(left * 1000) + 1):
        chunk = posix.read(reader, CHUNK)
        if not chunk:
            break
        said += chunk
    posix.close(reader)
    return said.strip() if said.endswith(b"\n") else b""


# --- JSON ------------------------------------------------------------------------------------


class Reading:
    """How JSON is read: the settings that `json` gives its scanner, in C, of itself."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> object:
        """Refuse NaN and Infinity, which are no JSON."""
        raise ValueError(name)


READ = _json.make_scanner(Reading)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
WRITE = _json.make_encoder(
    markers=None,
    default=repr,
    encoder=_json.encode_basestring_ascii,
    indent=None,
    key_separator=": ",
    item_separator=", ",
    sort_keys=False,
    skipkeys=False,
    allow_nan=True,
)
SPACE = " \t\n\r"


def lines(descriptor: int, rest: "Callable[[], bool]") -> "Iterator[bytes | None]":
    """Yield each line, and None for one that is too long, of which nothing is kept.

    `rest` is called when no line has come for a moment, until it returns True.
    """
    data, lost = b"", False
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    while True:
        while not waiting.poll(QUIET_MS) and not rest():
            pass
        chunk = posix.read(descriptor, CHUNK)
        if not chunk:
            break
        *whole, data = (data + chunk).split(b"\n")
        for line in whole:
            yield None if lost or len(line) > LINE_BYTES else line
            lost = False
        if len(data) > LINE_BYTES:
            data, lost = b"", True
    if data and not lost:
        yield data


def read_object(line: bytes) -> Fields | None:
    """Read a JSON object; None where a line is none."""
    try:
        text = line.decode().strip(SPACE)
        read, end = READ(text, 0)
    except (ValueError, RecursionError, StopIteration):
        return None
    found = fields_of(read)
    return found if found is read and end == len(text) else None


def fields_of(value: object) -> Fields:
    """Take a value as a JSON object; one that is none has no fields."""
    if not isinstance(value, dict):
        return {}
    found: Fields = value  # pyright: ignore[reportUnknownVariableType]
    return found


def names_call(request: Fields) -> bool:
    """Tell whether a request says which call of which thread it is."""
    meta = fields_of(fields_of(request.get("params")).get("_meta"))
    return bool(meta.get("threadId")) and bool(meta.get("callId"))


def written(value: object) -> bytes:
    """Write a value as JSON."""
    return "".join(WRITE(value, 0)).encode()


def answered(request: Fields, result: Fields) -> bytes:
    """Write an answer."""
    return written({"jsonrpc": "2.0", "id": request.get("id"), "result": result})


def refusal(request: Fields, text: str) -> bytes:
    """Write what the model is to read instead of a tool's answer."""
    if request.get("method") != "tools/call":
        return failure(request, INTERNAL, text)
    return answered(request, {"content": [{"type": "text", "text": text}], "isError": True})


def failure(request: Fields | None, code: int, message: str) -> bytes:
    """Write an error of the protocol."""
    error = {"code": code, "message": message}
    number = None if request is None else request.get("id")
    return written({"jsonrpc": "2.0", "id": number, "error": error})


if __name__ == "__main__":
    try:
        posix.chdir("/")  # the plugin's folder may go; nothing here is looked for by its place
        Pipe(sys.argv[1], posix.getppid()).run()
    except BrokenPipeError:
        pass  # the client has gone
    finally:
        posix._exit(0)  # pyright: ignore[reportPrivateUsage] # noqa: SLF001 - `os` is slow to import
