"""The checks of the assignments: they fail where NumPy's assertions do, and say what is wrong."""

import numpy as np
import pytest
import tensorflow as tf

from ganvae_lessons import checks


def fails(check, *args, **kwargs):
    """Return the message of a check that must fail."""
    with pytest.raises(checks.Failure) as caught:
        check(*args, **kwargs)
    return str(caught.value)


@pytest.mark.verifies("checks.close", against="numpy.testing.assert_allclose")
@pytest.mark.parametrize("error", [0, 1e-7, 9e-5, 1.1e-4, 1e-2, np.nan, np.inf, -1])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_close_agrees_with_numpy(error, shape):
    expected = np.random.default_rng(0).uniform(1, 2, shape)
    got = expected * (1 + error)
    try:
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
        same = True
    except AssertionError:
        same = False
    if same:
        checks.close(got, expected, "x")
        checks.close(tf.constant(got), expected, "x")
    else:
        fails(checks.close, got, expected, "x")


def test_close_says_what_came_and_which_mistake_it_is():
    mistakes = {"the sign turned round": -2.0, "the mean where the sum is meant": 1.0}
    assert fails(checks.close, 3.0, 2.0, "loss", mistakes=mistakes) == "loss gives 3, expected 2"
    message = fails(checks.close, 1.0, 2.0, "loss", mistakes=mistakes)
    assert message == (
        "loss gives 1, expected 2. That is what comes out with the mean where the sum is meant"
    )
    message = fails(checks.close, [[1, 2], [3, 9]], [[1, 2], [3, 4]], "f(x)")
    assert message == "f(x): element [1, 1] is 9, expected 4"
    assert fails(checks.close, [1.0], 1.0, "f") == "f has shape (1,), expected ()"
    message = fails(checks.close, 1.5, [1, 2], "f", mistakes={"the mean taken": 1.5})
    assert message.endswith("expected (2,). That is what comes out with the mean taken")
    assert "does your function end in a return?" in fails(checks.close, None, 1.0, "f")
    assert "'text', expected numbers" in fails(checks.close, "text", 1.0, "f")


@pytest.mark.verifies("checks.finite", "checks.within", against="numpy.isfinite, numpy.clip")
def test_finite_and_within():
    values = np.random.default_rng(0).normal(size=(4, 5))
    np.testing.assert_array_equal(checks.finite(tf.constant(values), "x"), values)
    checks.within(np.clip(values, -1, 1), -1, 1, "x")
    assert np.any(np.clip(values, -1, 1) != values)
    assert "expected inside [-1, 1]" in fails(checks.within, values, -1, 1, "x")
    values[0, 0], values[1, 1] = np.nan, -np.inf
    message = fails(checks.finite, values, "x")
    assert message == "x holds 2 values that are not finite, of 20"
    assert "not finite" in fails(checks.within, values, -np.inf, np.inf, "x")


@pytest.mark.verifies("checks.shape", against="numpy.shape")
def test_shape():
    for expected in [(), (3,), (2, 3)]:
        assert np.shape(np.zeros(expected)) == expected
        checks.shape(np.zeros(expected), expected, "x")
    checks.shape(tf.zeros((2, 3)), (None, 3), "x")
    assert (
        fails(checks.shape, np.zeros((2, 3)), (3, 2), "x") == "x has shape (2, 3), expected (3, 2)"
    )
    fails(checks.shape, np.zeros((2, 3)), (2, 3, 1), "x")


@pytest.mark.verifies("checks.equal", against="Python's ==")
def test_equal():
    for value in ("Conv2D", 3, (2, 3), [1, "a"]):
        checks.equal(value, value, "x")
    checks.equal([1, 2], (1, 2), "x")
    assert fails(checks.equal, 3, 4, "count") == "count is 3, expected 4"
    fails(checks.equal, [1, 2], [1, 2, 3], "x")

    class AgreesWithAll:
        def __eq__(self, other):
            return True

    fails(checks.equal, AgreesWithAll(), 3, "x")


@pytest.mark.verifies("checks.moved", "checks.unmoved", against="numpy.array_equal")
def test_moved_and_unmoved():
    before = [np.zeros(3), np.ones((2, 2))]
    both = [np.full(3, 1e-8), np.full((2, 2), 2.0)]
    one = [np.zeros(3), np.full((2, 2), 2.0)]
    for after, same in ((before, 2), (one, 1), (both, 0)):
        assert sum(map(np.array_equal, before, after)) == same
    checks.moved(before, both, "G")
    checks.unmoved(before, [w.copy() for w in before], "D")
    assert "1 of 2 weights did not change" in fails(checks.moved, before, one, "G")
    assert "1 of 2 weights changed" in fails(checks.unmoved, before, one, "D")
    assert "at least one" in fails(checks.moved, [], [], "G")
    assert "at least one" in fails(checks.unmoved, [], [], "G")


@pytest.mark.verifies("checks.changes", against="numpy.cumsum, whose output i sees inputs up to i")
def test_changes():
    x = np.zeros(5, "float32")
    for index in range(5):
        seen = checks.changes(np.cumsum, x, index)
        np.testing.assert_array_equal(seen, np.arange(5) >= index)


@pytest.mark.verifies("checks.raises", "checks.Failure", "checks.true", against="pytest.raises")
def test_raises():
    def look_up(word):
        return {"cat": 1}[word]

    with pytest.raises(KeyError, match="dog"):
        look_up("dog")
    checks.raises(KeyError, look_up, "dog", what="look_up('dog')", mentions=["dog"])
    assert "raises nothing" in fails(checks.raises, KeyError, look_up, "cat", what="look_up")
    assert "raises KeyError" in fails(checks.raises, ValueError, look_up, "dog", what="look_up")
    message = fails(checks.raises, KeyError, look_up, "dog", what="it", mentions=["unknown"])
    assert "expected it to name ['unknown']" in message

    def blank():
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        checks.raises(ValueError, blank, what="blank()")
    checks.true(np.bool_(True), "never")
    assert fails(checks.true, False, "why") == "why"
    with pytest.raises(AssertionError):
        checks.true(0, "why")


def test_a_notebook_shows_the_message_alone():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        InteractiveShell().run_cell(
            "from ganvae_lessons import checks\nchecks.close(1.0, 2.0, 'f(x)')"
        )
    assert captured.stdout.strip() == "Not yet: f(x) gives 1, expected 2"
