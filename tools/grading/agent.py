"""Runs a student's cells and answers questions about what they made; lives in the sandbox.

One JSON object a line on standard input, one on standard output. Nothing here is trusted: the
student's code may change all of it, and can then do no more than give other answers.
Needs NumPy and IPython; the code of a submission brings the rest.
"""

import base64
import json
import os
import re
import signal

import numpy as np

TEXT = 20_000  # characters of a stream or a traceback that are kept
PICTURE = 2_000_000  # characters of a picture in base64
PICTURES = 30
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class OutOfTime(KeyboardInterrupt):
    """Not an Exception: `except Exception` in a loop must not catch it."""


def make_shell():
    """Return IPython without a terminal, with figures shown inline."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.interactiveshell import InteractiveShell

    class Result(DisplayHook):
        def write_output_prompt(self):
            pass

    class Shell(InteractiveShell):
        displayhook_class = Result

        def enable_gui(self, gui=None):
            pass

    shell = Shell.instance()
    shell.run_line_magic("matplotlib", "inline")
    shell.run_line_magic("colors", "nocolor")
    return shell


class Agent:
    def __init__(self):
        self.shell = make_shell()
        self.objects = []

    def handle(self, request):
        return getattr(self, f"do_{request['do']}")(request)

    def do_run(self, request):
        """Execute a cell; return its outputs as a notebook stores them."""
        from IPython.utils.capture import capture_output

        with capture_output() as captured:
            result = self.shell.run_cell(request["source"], store_history=False)
        outputs, error = [], result.error_before_exec or result.error_in_exec
        for name in ("stdout", "stderr"):
            text = ANSI.sub("", getattr(captured, name))
            if name == "stdout" and error is not None:
                text = text.partition("-" * 75)[0]  # IPython prints the traceback, too
            if text:
                outputs.append({"output_type": "stream", "name": name, "text": _cut(text)})
        pictures = 0
        for shown in captured.outputs:
            data = {}
            if "image/png" in shown.data and pictures < PICTURES:
                picture = shown.data["image/png"]
                if isinstance(picture, bytes):
                    picture = base64.b64encode(picture).decode()
                if len(picture) <= PICTURE:
                    data["image/png"] = picture
                    pictures += 1
            if "text/plain" in shown.data:
                data["text/plain"] = _cut(shown.data["text/plain"])
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        if error is not None:
            outputs.append(_error(error))
        return outputs

    def do_get(self, request):
        return self.encode(self.shell.user_ns[request["name"]])

    def do_attribute(self, request):
        return self.encode(getattr(self.objects[request["of"]], request["name"]))

    def do_call(self, request):
        args = [self.decode(value) for value in request["args"]]
        kwargs = {name: self.decode(value) for name, value in request["kwargs"].items()}
        return self.encode(self.objects[request["of"]](*args, **kwargs))

    def do_item(self, request):
        return self.encode(self.objects[request["of"]][self.decode(request["key"])])

    def do_list(self, request):
        return self.encode(list(self.objects[request["of"]]))

    def do_len(self, request):
        return len(self.objects[request["of"]])

    def encode(self, value):
        """Plain data as data, arrays and tensors as arrays, all else as a reference."""
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) in (list, tuple):
            return {"list" if type(value) is list else "tuple": [self.encode(v) for v in value]}
        if type(value) is dict and all(type(key) in (str, int, float, bool) for key in value):
            return {"dict": [[key, self.encode(v)] for key, v in value.items()]}
        array = _array(value)
        if array is not None:
            text = base64.b64encode(np.ascontiguousarray(array)).decode()
            return {"array": [array.dtype.str, list(array.shape), text]}
        self.objects.append(value)
        return {"object": len(self.objects) - 1, "type": type(value).__name__}

    def decode(self, value):
        if not isinstance(value, dict):
            return value
        ((kind, content), *_) = value.items()
        if kind in ("list", "tuple"):
            return (list if kind == "list" else tuple)(self.decode(v) for v in content)
        if kind == "dict":
            return {key: self.decode(v) for key, v in content}
        if kind == "array":
            dtype, shape, text = content
            return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()
        return self.objects[content]


def _array(value):
    """A NumPy array of numbers, from what is one or turns into one; else None."""
    if not all(hasattr(value, name) for name in ("dtype", "shape", "__array__")):
        return None
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":
        array = array.astype("float32")
    return array if array.dtype.kind in "biufc" else None


def _cut(text):
    return text if len(text) <= TEXT else text[:TEXT] + f"\n… {len(text) - TEXT} more characters"


def _error(error):
    import traceback

    trace = error.__traceback__
    while trace is not None and "ipython-input" not in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace, limit=-4)
    return {
        "output_type": "error",
        "ename": type(error).__name__,
        "evalue": _cut(str(error)),
        "traceback": [ANSI.sub("", _cut("".join(lines)))],
    }


def _out_of_time(signum, frame):
    raise OutOfTime("this took longer than it may when it is graded")


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what writes to these must not be taken for an answer
        os.dup2(nothing, descriptor)
    agent = Agent()
    signal.signal(signal.SIGALRM, _out_of_time)
    answers.write(json.dumps({"ready": True}) + "\n")
    answers.flush()
    for line in questions:
        request = json.loads(line)
        reply = {"id": request["id"]}
        try:
            signal.setitimer(signal.ITIMER_REAL, request["seconds"])
            reply["value"] = agent.handle(request)
        except BaseException as error:
            reply["error"] = _error(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
