"""Fits of made-up curves whose law is known."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from reports.scaling import Fit, Refusal, Slopes, fit_curve

SIZES = (4, 8, 16, 32, 64, 128)
MIB = 2.0**20


def made(
    offset: float,
    scale: float,
    exponent: float,
    sizes: tuple[int, ...] = SIZES,
    *,
    repeats: int = 1,
    noise: float = 0.0,
    seed: int = 0,
) -> dict[int, list[float]]:
    random = np.random.default_rng(seed)
    return {
        size: ((offset + scale * size**exponent) * np.exp(noise * random.standard_normal(repeats))).tolist()
        for size in sizes
    }


def fitted(values: dict[int, list[float]]) -> Fit:
    fit = fit_curve(values)
    assert isinstance(fit, Fit), fit
    return fit


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 1.0, 1.3, 2.0, 3.0])
@pytest.mark.parametrize("offset", [0.0, 40.0])
def test_a_law_without_noise_is_found_again(offset: float, exponent: float) -> None:
    scale = 2.0 if exponent > 0 else 200.0
    fit = fitted(made(offset * MIB, scale * MIB, exponent))
    assert fit.exponent == pytest.approx(exponent, abs=2e-3)
    assert fit.scale == pytest.approx(scale * MIB, rel=2e-2)
    assert fit.offset == pytest.approx(offset * MIB, rel=2e-2, abs=0.05 * MIB)
    assert fit.at(256) == pytest.approx((offset + scale * 256**exponent) * MIB, rel=5e-3)
    assert fit.sizes == SIZES
    assert fit.error < 1e-3
    assert (fit.low, fit.high, fit.band([4])) == (None, None, None)


@pytest.mark.parametrize("exponent", [-3.0, 4.0])
def test_the_exponents_at_the_ends_are_found(exponent: float) -> None:
    assert fitted(made(0.0, 5.0, exponent)).exponent == pytest.approx(exponent, abs=2e-3)
    beyond = math.copysign(abs(exponent) + 0.05, exponent)
    refused = Refusal("no a + b·N^p with p from -3 to 4 comes near the values")
    assert fit_curve(made(0.0, 5.0, beyond)) == refused


def test_noise_moves_the_exponent_little() -> None:
    fit = fitted(made(50.0, 3.0, 1.5, repeats=5, noise=0.03))
    assert fit.exponent == pytest.approx(1.5, abs=0.15)
    assert 0.02 < fit.error < 0.04


def test_the_interval_holds_the_true_exponent_as_often_as_it_says() -> None:
    held = 0
    for seed in range(40):
        fit = fitted(made(20.0, 1.0, 1.2, (8, 32, 128, 512, 2048), repeats=5, noise=0.05, seed=seed))
        assert fit.low is not None
        assert fit.high is not None
        held += fit.low <= 1.2 <= fit.high
    # 38 of 40 are expected; 33 or fewer have a chance of 0.3 % then.
    assert held > 33


def test_the_band_lies_around_the_fit_and_widens_beyond_the_sizes() -> None:
    fit = fitted(made(20.0, 1.0, 1.2, repeats=6, noise=0.05))
    band = fit.band([4, 32, 4096])
    assert band is not None
    widths = [high / low for low, high in zip(*band, strict=True)]
    assert all(low < fit.at(size) < high for size, low, high in zip((4, 32, 4096), *band, strict=True))
    assert widths[2] > widths[1] > 1


@pytest.mark.parametrize(("repeats", "known"), [(4, False), (5, True)])
def test_intervals_need_five_repeats_of_every_size(repeats: int, known: bool) -> None:
    values = made(1.0, 1.0, 1.0, repeats=6, noise=0.02)
    values[16] = values[16][:repeats]
    fit = fitted(values)
    assert (fit.low is not None, fit.band([8]) is not None) == (known, known)


def test_equal_repeats_have_an_interval_without_width() -> None:
    fit = fitted(made(10.0, 2.0, 1.0, repeats=5))
    assert (fit.low, fit.high) == pytest.approx((1.0, 1.0), abs=1e-3)


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize(("exponent", "form"), [(1.0, "linear"), (2.0, "quadratic")])
@pytest.mark.parametrize(("repeats", "noise"), [(1, 0.0), (3, 0.03)])
def test_linear_is_told_from_quadratic(offset: float, exponent: float, form: str, repeats: int, noise: float) -> None:
    assert fitted(made(offset, 3.0, exponent, repeats=repeats, noise=noise)).form == form


def test_a_term_that_grows_as_the_square_makes_a_curve_quadratic() -> None:
    values = {size: [100.0 + 10.0 * size + 1.0 * size**2] for size in (4, 8, 16, 32, 64, 128, 256)}
    assert fitted(values).form == "quadratic"


def test_a_form_needs_five_sizes_and_an_exponent_near_it() -> None:
    assert fitted(made(0.0, 1.0, 2.0, SIZES[:4])).form == ""
    assert fitted(made(0.0, 1.0, 2.0, SIZES[:5])).form == "quadratic"
    assert fitted(made(0.0, 1.0, 0.3)).form == ""
    assert fitted(made(0.0, 1.0, 1.5)).form == ""
    assert fitted(made(0.0, 1.0, 1.2, repeats=3, noise=0.02)).form == "linear"
    assert fitted(made(0.0, 9.0, -1.0)).form == ""


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("repeats", [2, 5])
def test_what_does_not_grow_is_a_constant(noise: float, repeats: int) -> None:
    fit = fitted(made(0.0, 70.0, 0.0, repeats=repeats, noise=noise))
    assert (fit.offset, fit.exponent, fit.form) == (0.0, 0.0, "")
    assert fit.at(10**6) == pytest.approx(70.0, rel=0.2)
    assert fit.size_where(1e9) is None
    if repeats >= 5:
        assert fit.low is not None
        assert fit.high is not None
        assert -0.3 < fit.low <= fit.high < 0.3


@pytest.mark.parametrize("sizes", [SIZES[:4], SIZES])
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_what_grows_is_no_constant_without_repeats(sizes: tuple[int, ...], offset: float) -> None:
    fit = fitted(made(offset, 2.0, 1.0, sizes, noise=0.05, seed=1))
    assert fit.exponent == pytest.approx(1.0, abs=0.3)


def test_what_grows_tenfold_is_no_constant_because_sizes_are_few() -> None:
    fit = fit_curve({16: [13.0], 64: [16.3], 256: [22.7], 4096: [142.4]})
    assert isinstance(fit, Fit)
    assert 0.7 < fit.exponent < 1.2
    assert fit.error < 0.1


def test_the_size_where_a_value_is_reached() -> None:
    fit = fitted(made(100.0, 2.0, 2.0))
    assert fit.size_where(100.0 + 2.0 * 1000**2) == pytest.approx(1000, rel=1e-2)
    assert fit.size_where(50.0) is None
    falling = fitted(made(0.0, 1000.0, -1.0))
    assert falling.size_where(1.0) == pytest.approx(1000, rel=1e-2)
    assert Fit(0.0, 1.0, 1e-3, None, None, "", SIZES).size_where(1e300) is None


def test_units_and_sizes_do_not_matter() -> None:
    small, large = (fitted(made(5 * unit, 2 * unit, 1.4)) for unit in (1e-9, 1e15))
    assert small.exponent == pytest.approx(large.exponent, abs=1e-6)
    assert small.scale * 1e24 == pytest.approx(large.scale, rel=1e-6)


def test_the_same_values_give_the_same_fit_in_any_order() -> None:
    values = made(5.0, 1.0, 1.0, repeats=5, noise=0.1)
    assert fit_curve(values) == fit_curve(dict(reversed(values.items())))


def test_few_sizes_have_slopes_between_neighbours() -> None:
    fit = fit_curve({16: [4.0, 9.0, 5.0], 4: [1.0], 8: [3.0], 64: []})
    assert isinstance(fit, Slopes)
    assert fit.sizes == (4, 8, 16)
    assert fit.slopes == pytest.approx((math.log2(3), math.log2(5 / 3)))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "no size was measured: 2 or more are needed"),
        ({4: [1.0]}, "one size only: 2 or more are needed"),
        ({4: [1.0], 8: []}, "one size only: 2 or more are needed"),
        ({4: [1.0], 8: [2.0, 0.0]}, "0 at size 8: only values above 0 can be fitted"),
        ({4: [1.0], 8: [math.inf]}, "inf at size 8: only values above 0 can be fitted"),
        ({4: [1e-320], 8: [0.01], 16: [0.02], 32: [0.04]}, "the values 1e-320 and 0.04 lie too far apart"),
        ({4: [1e-320, 0.01], 8: [0.01]}, "the values 1e-320 and 0.01 lie too far apart"),
        ({4: [1.0], 8: [2.0], 16: [3.0], 10**90: [4.0]}, "the sizes 4 and 1e+90 lie too far apart"),
        ({0: [1.0], 8: [1.0]}, "0 at size 0: only values above 0 can be fitted"),
        (made(0.0, 1.0, 6.0), "no a + b·N^p with p from -3 to 4 comes near the values"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(values: dict[int, list[float]], reason: str) -> None:
    assert fit_curve(values) == Refusal(reason)


def test_any_values_above_zero_give_an_answer() -> None:
    for values in itertools.product((1.0, 2.0, 100.0), repeat=4):
        fit = fit_curve({size: [value] for size, value in zip(SIZES, values, strict=False)})
        if isinstance(fit, Fit):
            assert all(map(math.isfinite, (fit.offset, fit.scale, fit.exponent, fit.error)))
            assert fit.offset >= 0
            assert fit.scale > 0
        else:
            assert isinstance(fit, Refusal)


@pytest.mark.parametrize("unit", [5e-324, 1e-300, 1e300])
@pytest.mark.parametrize("repeats", [1, 5])
def test_tiny_and_huge_values_give_an_answer_without_a_warning(unit: float, repeats: int) -> None:
    values = {size: [size * unit * (1 + 0.01 * repeat) for repeat in range(repeats)] for size in SIZES}
    fit = fit_curve(values)
    assert isinstance(fit, Refusal) or (isinstance(fit, Fit) and math.isfinite(fit.at(256)))


def test_importing_it_loads_no_numpy() -> None:
    code = "import sys, reports.scaling; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
