"""The grader's end of the line to an agent: start it, ask it, stop it; nothing it says is run.

Replies are JSON of a bounded size; arrays are rebuilt from their bytes, never unpickled.
"""

import base64
import json
import os
import selectors
import subprocess
import time
from pathlib import Path

import numpy as np

from . import sandbox

GRACE = 5  # seconds that an agent gets to stop what took too long, before it is ended
START = 60  # seconds for Python and IPython to start
WATCH = 0.3  # seconds between two looks at the memory in use


class Dead(Exception):
    """The sandboxed process is gone, or was ended; the text says why, for the student."""


class RemoteError(Exception):
    """An error that the student's code raised; `type_name` names its type."""

    def __init__(self, type_name, message):
        super().__init__(message)
        self.type_name = type_name


class Session:
    """One sandboxed Python that executes a student's cells and answers questions about them."""

    def __init__(self, limits=None):
        self.limits = limits or sandbox.Limits()
        self.process = subprocess.Popen(
            sandbox.command(self.limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self.buffer = b""
        self.count = 0
        self._reply(START)

    def close(self):
        """Stop the sandbox and all that runs in it."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, source, seconds=None):
        """Execute a cell and return its outputs."""
        return self.ask("run", seconds or self.limits.cell_seconds, source=source)

    def get(self, name):
        """Return what a name stands for in the student's notebook."""
        try:
            return self.decode(self.ask("get", self.limits.test_seconds, name=name))
        except RemoteError as error:
            if error.type_name == "KeyError":
                raise RemoteError("NameError", f"{name} is not defined") from None
            raise

    def ask(self, do, seconds, **content):
        """Send one request; return the reply's value or raise RemoteError or Dead."""
        self.count += 1
        request = {"id": self.count, "do": do, "seconds": seconds, **content}
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):  # the pipe is broken, or closed by us
            raise Dead("Python had ended") from None
        reply = self._reply(seconds + GRACE)
        if reply.get("id") != self.count or not {"value", "error"} & reply.keys():
            self.close()
            raise Dead("the answer was not what was asked for")
        if "error" in reply:
            raise _remote_error(reply["error"])
        return reply["value"]

    def _reply(self, seconds):
        """Read one line within this time and the limit of size."""
        looked = time.monotonic()
        deadline = looked + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                now = time.monotonic()
                if now > deadline:
                    self.close()
                    raise Dead(f"it did not end, nor stop when asked, within {seconds:.0f} s")
                if now - looked > WATCH:
                    self._watch()
                    looked = now
                if not selector.select(WATCH):
                    continue
                part = self.process.stdout.read(2**20)
                if part == b"":
                    self.close()
                    raise Dead("Python ended: out of memory, or the code made it exit")
                self.buffer += part or b""
                if len(self.buffer) > self.limits.answer:
                    self.close()
                    raise Dead(f"an answer of over {self.limits.answer:,} bytes")
        line, self.buffer = self.buffer.split(b"\n", 1)
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            self.close()
            raise Dead("the answer was not what was asked for")
        return reply

    def _watch(self):
        """End what uses too much memory: the limit of each process does not stop many together."""
        if memory_of(self.process.pid) > self.limits.memory:
            self.close()
            raise Dead(f"it used more than {self.limits.memory / 2**30:.0f} GiB of memory")

    def encode(self, value):
        if isinstance(value, Reference):
            return {"object": value._number}
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            text = base64.b64encode(np.ascontiguousarray(array)).decode()
            return {"array": [array.dtype.str, list(array.shape), text]}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [self.encode(v) for v in value]}
        if isinstance(value, dict):
            return {"dict": [[key, self.encode(v)] for key, v in value.items()]}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a test cannot hand a {type(value).__name__} to a student's function")

    def decode(self, value, depth=0):
        """Rebuild what the agent sent; ValueError where it is not of the agreed form."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if depth > 50 or not isinstance(value, dict) or not value:
            raise ValueError("the answer has not the agreed form")
        if "object" in value:
            return Reference(self, int(value["object"]), str(value.get("type", ""))[:80])
        ((kind, content),) = value.items()
        if kind == "array":
            dtype, shape, text = content
            dtype = np.dtype(str(dtype))
            if dtype.kind not in "biufc":
                raise ValueError(f"an array of {dtype}")
            array = np.frombuffer(base64.b64decode(text), dtype).reshape([int(n) for n in shape])
            return array.copy() if array.ndim else array[()]
        if kind == "dict":
            return {key: self.decode(v, depth + 1) for key, v in content}
        if kind in ("list", "tuple"):
            values = [self.decode(v, depth + 1) for v in content]
            return values if kind == "list" else tuple(values)
        raise ValueError("the answer has not the agreed form")


class Reference:
    """Something in the student's notebook that is no plain data: a function, a model, a module."""

    def __init__(self, session, number, type_name):
        self._session, self._number, self._type_name = session, number, type_name

    def _ask(self, do, **content):
        session = self._session
        value = session.ask(do, session.limits.test_seconds, of=self._number, **content)
        return session.decode(value)

    def __call__(self, *args, **kwargs):
        encode = self._session.encode
        kwargs = {name: encode(value) for name, value in kwargs.items()}
        return self._ask("call", args=[encode(value) for value in args], kwargs=kwargs)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._ask("attribute", name=name)

    def __getitem__(self, key):
        return self._ask("item", key=self._session.encode(key))

    def __iter__(self):
        return iter(self._ask("list"))

    def __len__(self):
        length = self._ask("len")
        if not isinstance(length, int):
            raise ValueError("a length that is no number")
        return length

    def __bool__(self):
        raise TypeError(f"a {self._type_name} is neither true nor false")

    def __repr__(self):
        return f"<a {self._type_name}>"


def memory_of(pid):
    """Return the bytes in memory of a process and all that descend from it."""
    parents, pages = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            parents[int(folder.name)] = int(after_name[1])
            pages[int(folder.name)] = int(after_name[21])
    ours, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in ours} - ours
        ours, grown = ours | more, bool(more)
    return sum(pages.get(one, 0) for one in ours) * os.sysconf("SC_PAGE_SIZE")


def _remote_error(error):
    if not isinstance(error, dict):
        return RemoteError("Error", "an error without a description")
    return RemoteError(str(error.get("ename"))[:80], str(error.get("evalue"))[:2000])
