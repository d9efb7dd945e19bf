"""Every check lets the right values through and names what is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfood_np import validation
from fastfood_np.validation import (
    check_batch,
    check_bool,
    check_cache,
    check_choice,
    check_finite,
    check_float_dtype,
    check_int,
    check_labels,
    check_path,
    check_permutation,
    check_points,
    check_power_of_two,
    check_rate,
    check_real,
    check_rng,
    check_shape,
)

NAN, INF = float("nan"), float("inf")
F32 = np.dtype(np.float32)
Refusal = tuple[Callable[[], Any], type[Exception], str]


def refused(call: Callable[[], Any], kind: type[Exception], saying: str) -> None:
    with pytest.raises(kind, match=saying) as caught:
        call()
    assert caught.type is kind


def test_every_check_is_tested() -> None:
    checks = {name for name in dir(validation) if name.startswith("check_")}
    assert checks <= globals().keys()


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_int(value: Any) -> None:
    checked = check_int(value, "n", minimum=3, maximum=3)
    assert checked == 3 and type(checked) is int


def test_int_has_no_limits_of_its_own() -> None:
    assert check_int(-(10**30), "n") == -(10**30)


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3], np.array([3])])
def test_int_types(value: Any) -> None:
    refused(lambda: check_int(value, "n"), TypeError, r"^n must be an integer, got ")


def test_int_limits() -> None:
    refused(lambda: check_int(2, "n", minimum=3), ValueError, r"^n must be at least 3, got 2$")
    refused(lambda: check_int(4, "n", maximum=3), ValueError, r"^n must be at most 3, got 4$")


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_real(value: Any) -> None:
    checked = check_real(value, "s", minimum=2.0, above=1.0, below=3.0)
    assert checked == 2.0 and type(checked) is float


@pytest.mark.parametrize(
    ("value", "limits", "kind", "saying"),
    [
        (True, {}, TypeError, "^s must be a real number, got True"),
        ("1", {}, TypeError, "^s must be a real number, got '1'"),
        (1j, {}, TypeError, "^s must be a real number"),
        (None, {}, TypeError, "^s must be a real number"),
        (NAN, {}, ValueError, "^s must be finite, got nan"),
        (-INF, {}, ValueError, "^s must be finite, got -inf"),
        (np.float32(INF), {}, ValueError, "^s must be finite"),
        (10**400, {}, ValueError, "^s must be finite"),
        (0.9, {"minimum": 1.0}, ValueError, r"^s must be at least 1\.0, got 0\.9"),
        (1.0, {"above": 1.0}, ValueError, r"^s must be greater than 1\.0, got 1\.0"),
        (1.0, {"below": 1.0}, ValueError, r"^s must be less than 1\.0, got 1\.0"),
    ],
)
def test_real_refuses(
    value: Any, limits: dict[str, float], kind: type[Exception], saying: str
) -> None:
    refused(lambda: check_real(value, "s", **limits), kind, saying)


def test_rate() -> None:
    assert [check_rate(rate, "p") for rate in (0, 0.5, 0.999)] == [0.0, 0.5, 0.999]
    for rate in (-0.001, 1.0, 1.5):
        refused(lambda rate=rate: check_rate(rate, "p"), ValueError, "^p must be (at least|less)")


def test_choice() -> None:
    assert check_choice("b", "name", ("a", "b")) == "b"
    refused(
        lambda: check_choice("c", "name", ("a", "b")),
        ValueError,
        "^name must be one of 'a', 'b', got 'c'$",
    )
    refused(lambda: check_choice(None, "name", ("a",)), ValueError, "got None")


def test_rng() -> None:
    generator = np.random.default_rng(1)
    assert check_rng(generator) is generator
    for seed in (1, np.int64(1), np.random.SeedSequence(1)):
        assert check_rng(seed).random() == np.random.default_rng(1).random()
    assert check_rng(None).random() != check_rng(None).random()
    for wrong in ("1", 1.0, True, np.random.RandomState(1), [1]):
        refused(lambda wrong=wrong: check_rng(wrong, "r"), TypeError, "^r must be None, an integer")
    refused(lambda: check_rng(-1), ValueError, "^rng must be at least 0, got -1")


def test_float_dtype() -> None:
    for given in (np.float32, "float32", "f4", F32, np.dtype("=f4")):
        assert check_float_dtype(given) == F32
    assert check_float_dtype(float) == np.float64
    for wrong in (np.float16, "int32", complex, "nonsense", object(), "f4,f4", "(2,3", ">f4"):
        refused(
            lambda wrong=wrong: check_float_dtype(wrong, "kind"),
            TypeError,
            "^kind must be float32 or float64, got ",
        )


def test_bool() -> None:
    assert check_bool(True, "b") is True and check_bool(np.False_, "b") is False
    for wrong in (1, 0, None, "True"):
        refused(lambda wrong=wrong: check_bool(wrong, "b"), TypeError, "^b must be True or False")


def test_path(tmp_path: Path) -> None:
    class InBytes:
        def __fspath__(self) -> bytes:
            return b"bytes"

    assert check_path("a/b", "path") == Path("a/b") and check_path(tmp_path, "path") == tmp_path
    for wrong in (b"bytes", InBytes(), 3, None):
        refused(lambda wrong=wrong: check_path(wrong, "p"), TypeError, "^p must be a str or a path")
    refused(lambda: check_path("", "p"), ValueError, "^p must be a path, got the empty string")


def test_power_of_two() -> None:
    assert [n for n in range(-4, 70) if _is_power_of_two(n)] == [1, 2, 4, 8, 16, 32, 64]


def _is_power_of_two(n: int) -> bool:
    try:
        return check_power_of_two(n, "d") == n
    except ValueError as error:
        assert str(error) == f"d must be a power of two, got {n}"
        return False


def test_shape() -> None:
    assert check_shape(3, "s") == (3,) and check_shape([2, np.int64(3)], "s") == (2, 3)
    refused(lambda: check_shape((), "s"), ValueError, "^s must hold at least one size")
    refused(lambda: check_shape((2, 0), "s"), ValueError, "^s must be at least 1, got 0")
    refused(lambda: check_shape(2.0, "s"), TypeError, "^s must be an integer, got 2.0")
    refused(lambda: check_shape("23", "s"), TypeError, "^s must be an integer, got '23'")


def test_permutation() -> None:
    given = np.array([[1, 0, 2], [2, 1, 0]], np.uint8)
    checked = check_permutation(given, "perm")
    assert checked.dtype == np.int64 and (checked == given).all()
    given[:] = 0
    assert checked[0, 0] == 1  # a copy
    for wrong in ([0.0, 1.0], [True, False], ["a"]):
        refused(lambda wrong=wrong: check_permutation(wrong, "perm"), TypeError, "^perm must hold")
    for wrong in (np.empty(0, int), 3, np.empty((2, 0), int)):
        refused(lambda wrong=wrong: check_permutation(wrong, "perm"), ValueError, "^perm must have")
    for wrong in ([1, 2], [0, 0], [-1, 0], [[0, 1], [1, 1]], np.array([0, 2**63], np.uint64)):
        refused(
            lambda wrong=wrong: check_permutation(wrong, "perm"),
            ValueError,
            r"^perm must be a permutation of 0\.\.1 on its last axis$",
        )


def test_batch() -> None:
    x = np.zeros((4, 3, 5), np.float32)
    for shape in (None, (3, 5), (None, 5), (None, None)):
        for dtype in (F32, None):
            check_batch(x, "x", dtype, shape)
    check_batch(x[:0], "x", F32, (3, 5))
    check_batch(np.full((1, 2), NAN), "x", None, (2,))


@pytest.mark.parametrize(
    ("x", "dtype", "shape", "kind", "saying"),
    [
        ([[1.0]], F32, (1,), TypeError, "^x must be a NumPy array, got list$"),
        (np.zeros((1, 2)), F32, (2,), TypeError, "^x must have the layer's dtype float32, got flo"),
        (np.zeros((1, 2), int), None, (2,), TypeError, "^the dtype of x must be float32 or float6"),
        (np.zeros((1, 2)), None, (3,), ValueError, r"^x must have shape \(m, 3\), got \(1, 2\)$"),
        (np.zeros(2), None, (2,), ValueError, r"^x must have shape \(m, 2\), got \(2,\)$"),
        (np.zeros((1, 2)), None, (None, 2), ValueError, r"^x must have shape \(m, any, 2\), got"),
        (np.float64(1), None, None, TypeError, "^x must be a NumPy array, got float64"),
        (np.array(1.0), None, None, ValueError, r"^x must have shape \(m, \.\.\.\), got \(\)$"),
    ],
)
def test_batch_refuses(x: Any, dtype: Any, shape: Any, kind: type[Exception], saying: str) -> None:
    refused(lambda: check_batch(x, "x", dtype, shape), kind, saying)


def test_labels() -> None:
    check_labels(np.array([0, 9]), "labels", 2, 10)
    check_labels(np.array([], np.uint8), "labels", 0, 10)
    cases: list[Refusal] = [
        (lambda: check_labels([0], "t", 1, 2), TypeError, "^t must be an integer array, got list"),
        (lambda: check_labels(np.zeros(1), "t", 1, 2), TypeError, "got float64$"),
        (lambda: check_labels(np.zeros(1, bool), "t", 1, 2), TypeError, "got bool$"),
        (
            lambda: check_labels(np.array([0, 1]), "t", 3, 2),
            ValueError,
            r"^t must have shape \(3,\), got \(2,\)",
        ),
        (lambda: check_labels(np.array([[0]]), "t", 1, 2), ValueError, r"got \(1, 1\)"),
        (
            lambda: check_labels(np.array([0, 2]), "t", 2, 2),
            ValueError,
            r"^t must lie in 0\.\.1, got 0 to 2$",
        ),
        (lambda: check_labels(np.array([-1, 1]), "t", 2, 2), ValueError, "got -1 to 1$"),
    ]
    for case in cases:
        refused(*case)


def test_cache() -> None:
    check_cache({"y_shape": (1, 2)})
    refused(lambda: check_cache(None), TypeError, "^cache must be the dict forward returned")
    refused(lambda: check_cache({}), ValueError, "^cache must come from a forward pass")


def test_points() -> None:
    x = np.ones((2, 3), np.float32)
    assert check_points(x, "X") is x
    for given, dtype in (
        ([[1, 2]], np.float64),
        (np.ones((1, 1), bool), np.float64),
        (np.ones((1, 1), np.float16), np.float32),
        (np.ones((1, 1), np.uint8), np.float64),
    ):
        assert check_points(given, "X").dtype == dtype
    cases: list[Refusal] = [
        (lambda: check_points([[1j]], "X"), TypeError, "^X must hold real numbers .*got complex"),
        (lambda: check_points([["a"]], "X"), TypeError, "^X must hold real numbers"),
        (lambda: check_points([1.0], "X"), ValueError, r"^X must have shape \(m, d\) .*\(1,\)$"),
        (lambda: check_points(np.ones((0, 2)), "X"), ValueError, r"got \(0, 2\)$"),
        (lambda: check_points([[NAN]], "X"), ValueError, "^X must be finite, but holds NaN or inf"),
        (lambda: check_points([[-INF]], "X"), ValueError, "^X must be finite"),
    ]
    for case in cases:
        refused(*case)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, np.int64])
def test_finite(dtype: Any) -> None:
    given = np.ones((2, 1), dtype)
    assert check_finite(given, "mean", (2, 1)) is given
    assert check_finite([[1], [2.5]], "mean", (2, 1)).tolist() == [[1.0], [2.5]]


@pytest.mark.parametrize(
    "refusal",
    [
        (lambda: check_finite([[1j]], "mean", (1, 1)), TypeError, "^mean must hold real numbers"),
        (lambda: check_finite(["a"], "mean", (1,)), TypeError, "^mean must hold real .* <U1$"),
        (lambda: check_finite([True], "mean", (1,)), TypeError, "^mean must hold .* got bool$"),
        (lambda: check_finite([1, 2], "mean", (1,)), ValueError, r"shape \(1,\), got \(2,\)$"),
        (lambda: check_finite([[1], [1, 2]], "mean", (2, 2)), ValueError, r"^mean must have shape"),
        (lambda: check_finite([NAN], "mean", (1,)), ValueError, "^mean must be finite, but holds"),
        (lambda: check_finite([-INF], "mean", (1,)), ValueError, "^mean must be finite"),
    ],
)
def test_finite_refuses(refusal: Refusal) -> None:
    refused(*refusal)
