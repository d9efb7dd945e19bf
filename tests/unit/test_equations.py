"""The numeric check of the paper's equations: it holds, and it fails where the package is wrong."""

import math

import numpy as np
import pytest

from fastfood_np.backends import cpu
from fastfood_np.cli import main
from fastfood_np.experiments import circulant_equations, equations
from fastfood_np.experiments.equations import Check
from fastfood_np.layers import Circulant, Fastfood, Permutation, ReLU
from fastfood_np.layers import circulant as circulant_layer

FORMS = ("composed", "fused")
LAYER_LINES = (
    "y and the dense c S H G Pi H B x",
    "dE/dS and its diag(.)",
    "dE/dG through H S",
    "dE/dB through Pi^T and H",
    "dE/dx, the whole chain",
    "y with dropout on Pi H B x",
)
Y, DS, DG, DB, DX, DROPPED = LAYER_LINES
IDENTITY = "<phi(x), phi(x')> and mean cos W(x - x')"
QUADRATURE = "gaussian() and Gauss-Hermite quadrature"
POLAR = "arc_cosine() and polar quadrature"
TWICE = "Cho and Saul's kernel and twice the paper's"
COSINES, RELUS = "|z| of Fastfood cos/sin features", "|z| of Fastfood ReLU features"


def lines(form, *names):
    return {f"{form}: {name}" for name in names}


def in_both_forms(*names):
    return {line for form in FORMS for line in lines(form, *names)}


FORWARD, DR = "y and sums of r_(i-j) D_j x_j", "its FFT form and sums of g_i (D x)_(i-k)"
ADJOINT = "its FFT form and D times sums of r_(i-j) g_i"
CONJUGATE = "conj FFT(v) and FFT of v reversed, then shifted by 1"
CIRCULANT = {FORWARD, DR, ADJOINT, CONJUGATE}
EVERY_LINE = CIRCULANT | {
    IDENTITY,
    QUADRATURE,
    COSINES,
    POLAR,
    TWICE,
    RELUS,
    *in_both_forms(*LAYER_LINES),
}


def name(check):
    return check.compared.split(", ")[0] if check.compared.startswith("|z|") else check.compared


@pytest.fixture
def verify(monkeypatch, capsys):
    """Run ``verify`` on the command line; returns the exit code, the checks and what it printed."""
    monkeypatch.setenv("COLUMNS", "160")
    recorded = []

    def recording(module, name):
        original = getattr(module, name)

        def record():
            checks = list(original())
            recorded.extend(checks)
            return checks

        monkeypatch.setattr(module, name, record)

    recording(equations, "check_equations")
    recording(circulant_equations, "check_circulant_equations")

    def run():
        recorded.clear()
        code = main(["verify"])
        return code, list(recorded), capsys.readouterr().out

    return run


def test_all_hold(verify):
    code, checks, printed = verify()
    assert [name(check) for check in checks if not check.passed] == []
    assert {name(check) for check in checks} == EVERY_LINE
    assert len(checks) == len(EVERY_LINE)
    assert code == 0
    assert printed.count("holds") == len(checks) and "FAILS" not in printed
    assert f"{len(checks)} of {len(checks)} checks hold." in printed
    for check in checks:
        assert check.compared in printed
    # Every equation of the paper is there.
    covered = {part for check in checks for part in check.equation.split(", ")}
    assert covered == {*"1234567", "3.2", "R D x", "dL/dr", "dL/dx", "conj"}


def test_a_check_passes_up_to_its_tolerance():
    assert Check("1", "", 1.0, 1.0).passed and Check("1", "", 0.0, 1.0).passed
    assert not Check("1", "", 1.1, 1.0).passed
    assert not Check("1", "", math.nan, 1.0).passed
    assert not Check("1", "", math.inf, 1.0).passed


# ------------------------------------------------------------ mutants, and what must notice them


def pi_instead_of_its_transpose_composed(patch):
    def backward(self, dy, cache, need_dx):
        return np.take_along_axis(dy, self.constants["perm"][None], axis=-1), {}

    patch.setattr(Permutation, "_backward", backward)


def pi_instead_of_its_transpose_fused(patch):
    """Backward with the inverse permutation: h_G is recomputed, so dS and dG are off too."""
    right = cpu.fastfood_backward

    def wrong(x, dy, S, G, B, perm, *rest):
        right(x, dy, S, G, B, np.argsort(perm, axis=-1), *rest)

    patch.setattr(cpu, "fastfood_backward", wrong)


def scale_without_root_d(patch):
    right = Fastfood.__init__

    def wrong(self, *sizes, sigma=1.0, **options):
        right(self, *sizes, sigma=sigma, **options)
        self.scale = 1 / sigma

    patch.setattr(Fastfood, "__init__", wrong)


def s_and_g_swapped(patch):
    """S and G change places in forward only."""
    right = Fastfood._forward

    def wrong(self, x, cache, rng):
        params = dict(self.params)
        self.params.update(S=params["G"], G=params["S"])
        try:
            return right(self, x, cache, rng)
        finally:
            self.params.update(params)

    patch.setattr(Fastfood, "_forward", wrong)


def backward_without_the_mask(patch):
    right = Fastfood._backward

    def wrong(self, dy, cache, need_dx):
        return right(self, dy, {**cache, "mask": None}, need_dx)

    patch.setattr(Fastfood, "_backward", wrong)


def dropout_not_scaled_up(patch):
    patch.setattr("fastfood_np.layers.fastfood.mask_scale", lambda rate: 1.0)


def s_gradient_without_scale(patch):
    """dS from the gradient before c is applied."""
    right = Fastfood._backward

    def wrong(self, dy, cache, need_dx):
        dx, grads = right(self, dy, cache, need_dx)
        return dx, {**grads, "S": grads["S"] / self.scale}

    patch.setattr(Fastfood, "_backward", wrong)


def arc_cosine_twice_too_large(patch):
    right = equations.arc_cosine
    patch.setattr(equations, "arc_cosine", lambda *points, **options: 2 * right(*points, **options))


def arc_cosine_one_convention(patch):
    """Cho and Saul's kernel whatever convention is asked for."""
    right = equations.arc_cosine
    patch.setattr(equations, "arc_cosine", lambda *points, order, convention: right(*points))


def gaussian_wrong_bandwidth(patch):
    right = equations.gaussian
    patch.setattr(equations, "gaussian", lambda *x, sigma: right(*x, sigma=math.sqrt(2) * sigma))


def gaussian_one_in_a_million(patch):
    right = equations.gaussian
    patch.setattr(equations, "gaussian", lambda *x, sigma: (1 + 1e-6) * right(*x, sigma=sigma))


def absolute_value_for_relu(patch):
    patch.setattr(ReLU, "_forward", lambda self, x, cache, rng: np.abs(x))


def signs_forgotten(patch):
    patch.setattr(Circulant, "_D", lambda self: None)


def correlation_for_convolution(patch):
    """R^T for R in forward."""
    right = circulant_layer.circulant_forward

    def wrong(x, r, *rest):
        right(x, np.roll(r[:, ::-1], 1, axis=1), *rest)

    patch.setattr(circulant_layer, "circulant_forward", wrong)


def r_gradient_not_conjugated(patch):
    right = circulant_layer.circulant_backward

    def wrong(dy, x_spectra, *rest):
        right(dy, x_spectra.conj(), *rest)

    patch.setattr(circulant_layer, "circulant_backward", wrong)


def adjoint_without_signs(patch):
    right = circulant_layer.circulant_backward

    def wrong(dy, x_spectra, r, signs, *rest):
        right(dy, x_spectra, r, np.ones_like(signs), *rest)

    patch.setattr(circulant_layer, "circulant_backward", wrong)


# The mutant, the lines that must fail, further lines that may.
MUTANTS = [
    (pi_instead_of_its_transpose_composed, lines("composed", DB, DX), set()),
    (pi_instead_of_its_transpose_fused, lines("fused", DS, DG, DB, DX), set()),
    (
        scale_without_root_d,
        {IDENTITY, COSINES, RELUS, *in_both_forms(*LAYER_LINES)},
        set(),
    ),
    (
        s_and_g_swapped,
        {IDENTITY, *in_both_forms(Y, DROPPED), *lines("composed", DS)},
        {COSINES, RELUS},
    ),
    (backward_without_the_mask, in_both_forms(DB, DX), in_both_forms(DS, DG)),
    (dropout_not_scaled_up, in_both_forms(DS, DG, DB, DX, DROPPED), set()),
    (s_gradient_without_scale, in_both_forms(DS), set()),
    (arc_cosine_twice_too_large, {POLAR, TWICE, RELUS}, set()),
    (arc_cosine_one_convention, {POLAR, RELUS}, set()),
    (gaussian_wrong_bandwidth, {QUADRATURE, COSINES}, set()),
    (gaussian_one_in_a_million, {QUADRATURE}, set()),
    (absolute_value_for_relu, {RELUS}, set()),
    (signs_forgotten, {FORWARD, DR, ADJOINT}, set()),
    (correlation_for_convolution, {FORWARD}, set()),
    (r_gradient_not_conjugated, {DR}, set()),
    (adjoint_without_signs, {ADJOINT}, set()),
]


@pytest.mark.compiled_only
@pytest.mark.parametrize(
    ("mutant", "must", "may"), MUTANTS, ids=[mutant.__name__ for mutant, _, _ in MUTANTS]
)
def test_mutants_fail(mutant, must, may, verify, monkeypatch):
    monkeypatch.setattr(equations, "SEEDS", 100)
    mutant(monkeypatch)
    code, checks, printed = verify()
    failed = {name(check) for check in checks if not check.passed}
    assert must <= failed
    assert failed <= must | may
    assert code == 1
    assert printed.count("FAILS") == len(failed)
    assert printed.count("holds") == len(checks) - len(failed)
    assert f"{len(checks) - len(failed)} of {len(checks)} checks hold." in printed
