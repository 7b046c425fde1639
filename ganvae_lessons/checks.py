"""Checks of an assignment's answers, with messages that say what came and what was expected.

Each raises `Failure`, an AssertionError that a notebook shows without its traceback. NumPy alone:
a check looks at numbers, never at how they were made, so that a teacher's grader can run it in
another process than the student's code (tools/grading).
"""

import numpy as np

__all__ = [
    "Failure",
    "changes",
    "close",
    "equal",
    "finite",
    "moved",
    "raises",
    "shape",
    "true",
    "unmoved",
    "within",
]


class Failure(AssertionError):
    """An answer that is not right; its text is for the student."""

    def _render_traceback_(self):  # IPython asks for this: the lines of a check help nobody
        return [f"Not yet: {self}"]


def true(condition, message):
    """Fail with `message` unless the condition holds."""
    if not bool(condition):
        raise Failure(message)


def close(got, expected, what, *, rtol=1e-4, atol=1e-6, mistakes=None):
    """Fail unless `got` has the shape of `expected` and its values, to rtol and atol.

    `what` begins the message ("discriminator_loss(real, fake)"). `mistakes` maps the description
    of a usual mistake to the value that it gives: where `got` is one of these, the message says so.
    """
    values = _numbers(got, what)
    expected = np.asarray(expected, dtype=float)
    if values.shape != expected.shape:
        raise Failure(
            f"{what} has shape {values.shape}, expected {expected.shape}"
            + _diagnosis(values, mistakes, rtol, atol)
        )
    if np.allclose(values, expected, rtol=rtol, atol=atol):
        return
    finite(values, what)
    if values.ndim == 0:
        message = f"{what} gives {values:.6g}, expected {expected:.6g}"
    else:
        worst = np.unravel_index(np.argmax(np.abs(values - expected)), values.shape)
        place = ", ".join(str(int(index)) for index in worst)
        message = (
            f"{what}: element [{place}] is {values[worst]:.6g}, expected {expected[worst]:.6g}"
        )
    raise Failure(message + _diagnosis(values, mistakes, rtol, atol))


def _diagnosis(values, mistakes, rtol, atol):
    for description, wrong in (mistakes or {}).items():
        wrong = np.asarray(wrong, dtype=float)
        if wrong.shape == values.shape and np.allclose(values, wrong, rtol=rtol, atol=atol):
            return f". That is what comes out with {description}"
    return ""


def shape(got, expected, what):
    """Fail unless `got` is an array of numbers of this shape; None stands for any length."""
    came = _numbers(got, what).shape
    expected = tuple(expected)
    fits = len(came) == len(expected) and all(
        want is None or have == want for have, want in zip(came, expected, strict=True)
    )
    true(fits, f"{what} has shape {came}, expected {expected}")


def equal(got, expected, what):
    """Fail unless `got` equals `expected`: names, counts, tuples; for real numbers see `close`."""
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        same = list(got) == list(expected)
    else:
        same = isinstance(got, str | int | float | bool | np.generic) and got == expected
    true(same, f"{what} is {got!r}, expected {expected!r}")


def within(got, low, high, what):
    """Fail unless every value lies in [low, high]."""
    values = finite(got, what)
    true(
        np.all((values >= low) & (values <= high)),
        f"{what} lies in [{values.min():.6g}, {values.max():.6g}], "
        f"expected inside [{low:g}, {high:g}]",
    )


def finite(got, what):
    """Fail on a NaN or an infinity; return the values as a NumPy array."""
    values = _numbers(got, what)
    true(
        np.all(np.isfinite(values)),
        f"{what} holds {np.sum(~np.isfinite(values))} values that are not finite, of {values.size}",
    )
    return values


def moved(before, after, what):
    """Fail unless every one of the arrays changed: weights before and after a step."""
    still = [index for index, same in enumerate(_same(before, after, what)) if same]
    true(
        not still,
        f"{what}: {len(still)} of {len(before)} weights did not change in this step "
        f"(the first is number {still[0] if still else 0}); each of them should",
    )


def unmoved(before, after, what):
    """Fail if one of the arrays changed: weights that a step must leave alone."""
    changed = [index for index, same in enumerate(_same(before, after, what)) if not same]
    true(
        not changed,
        f"{what}: {len(changed)} of {len(before)} weights changed in this step "
        f"(the first is number {changed[0] if changed else 0}); none of them should",
    )


def _same(before, after, what):
    true(
        len(before) == len(after) > 0,
        f"{what}: there are {len(before)} weights before the step and {len(after)} after it; "
        "expected the same number, and at least one",
    )
    return [
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(before, after, strict=True)
    ]


def changes(function, inputs, index, *, amount=1.0):
    """Return which outputs change when `amount` is added to the input at `index`: booleans.

    `function` maps an array to an array; the result has the output's shape. A pixel model whose
    output i must not depend on pixel i shows False there.
    """
    inputs = np.array(inputs, dtype="float32")
    other = inputs.copy()
    other[index] += amount
    before, after = np.asarray(function(inputs)), np.asarray(function(other))
    return np.abs(after - before) > 1e-6 * (1 + np.abs(before))


def raises(kind, function, *arguments, what, mentions=()):
    """Fail unless the call raises `kind`, a built-in exception, naming what it `mentions`."""
    try:
        function(*arguments)
    except Exception as error:
        name = getattr(error, "type_name", type(error).__name__)
        if name == "NotImplementedError":
            raise  # nobody answered
        true(name == kind.__name__, f"{what} raises {name} ({error}), expected {kind.__name__}")
        missing = [str(word) for word in mentions if str(word) not in str(error)]
        true(not missing, f"{what}: the error says {str(error)!r}, expected it to name {missing}")
        return
    raise Failure(f"{what} raises nothing, expected {kind.__name__}")


def _numbers(got, what):
    if got is None:
        raise Failure(f"{what} gives None; does your function end in a return?")
    try:
        values = np.asarray(got)
        if values.dtype.kind not in "biuf":
            values = values.astype(float)
    except (TypeError, ValueError):
        raise Failure(f"{what} gives {_short(got)}, expected numbers") from None
    return values


def _short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
