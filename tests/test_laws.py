"""Fits of made-up curves whose law is known."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from reports.growth.fit import fit_curve
from reports.growth.results import Fit, Refusal, Slopes

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
    fit = fit_curve(made(offset * MIB, scale * MIB, exponent), exact=True)
    assert isinstance(fit, Fit)
    assert fit.exponent == pytest.approx(exponent, abs=2e-3)
    assert fit.scale == pytest.approx(scale * MIB, rel=2e-2)
    assert fit.offset == pytest.approx(offset * MIB, rel=2e-2, abs=0.05 * MIB)
    assert fit.at(256) == pytest.approx((offset + scale * 256**exponent) * MIB, rel=5e-3)
    assert fit.sizes == SIZES
    assert fit.error < 1e-3
    assert fit.band([4]) is None
    assert fit.family == {1.0: "linear", 2.0: "quadratic"}.get(exponent, "power")
    if fit.family == "power":
        assert (fit.low, fit.high) == pytest.approx((exponent, exponent), abs=6e-3)
    else:
        assert (fit.low, fit.high) == (None, None)


@pytest.mark.parametrize("exponent", [-3.0, 4.0])
def test_the_exponents_at_the_ends_are_found(exponent: float) -> None:
    assert fitted(made(0.0, 5.0, exponent)).exponent == pytest.approx(exponent, abs=2e-3)
    beyond = math.copysign(abs(exponent) + 0.05, exponent)
    assert isinstance(fit_curve(made(0.0, 5.0, beyond), exact=True), Slopes)


def test_noise_moves_the_exponent_little() -> None:
    fit = fitted(made(50.0, 3.0, 1.5, repeats=5, noise=0.03))
    assert fit.exponent == pytest.approx(1.5, abs=0.15)
    assert 0.02 < fit.error < 0.04


def test_the_interval_holds_the_true_exponent_as_often_as_it_says() -> None:
    held = 0
    for seed in range(40):
        fit = fitted(made(20.0, 1.0, 1.5, (8, 32, 128, 512, 2048), repeats=5, noise=0.05, seed=seed))
        assert fit.low is not None
        assert fit.high is not None
        held += fit.low <= 1.5 <= fit.high
    # 38 of 40 are expected; 33 or fewer have a chance of 0.3 % then.
    assert held > 33


def test_the_band_lies_around_the_fit_and_widens_beyond_the_sizes() -> None:
    fit = fitted(made(20.0, 1.0, 1.5, repeats=6, noise=0.02))
    band = fit.band([4, 32, 4096])
    assert band is not None
    widths = [high / low for low, high in zip(*band, strict=True)]
    assert all(low < fit.at(size) < high for size, low, high in zip((4, 32, 4096), *band, strict=True))
    assert widths[2] > widths[1] > 1


@pytest.mark.parametrize(("repeats", "known"), [(4, False), (5, True)])
def test_bands_need_five_repeats_of_every_size(repeats: int, known: bool) -> None:
    values = made(1.0, 1.0, 1.0, repeats=6, noise=0.02)
    values[16] = values[16][:repeats]
    assert (fitted(values).band([8]) is not None) == known


LAWS: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "linear": lambda n: n,
    "N log N": lambda n: n * math.log2(n),
    "quadratic": lambda n: n**2,
}


@pytest.mark.parametrize("count", [4, 5, 6, 7])
@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("family", LAWS)
def test_every_law_beside_a_constant_is_named_through_noise(family: str, offset: float, count: int) -> None:
    """Theory: 2 % noise, sizes four-fold apart, and an additive constant of 0.3 of the growth up to the third size."""
    law, sizes = LAWS[family], [16 * 4**step for step in range(count)]
    constant = offset * law(sizes[2])
    words: list[str] = []
    for draws in np.random.default_rng(count).standard_normal((40, count)):
        values = {
            n: [(constant + law(n)) * math.exp(0.02 * draw)] for n, draw in zip(sizes, draws.tolist(), strict=True)
        }
        fit = fit_curve(values)
        words.append(fit.family if isinstance(fit, Fit) else "")
    assert words.count(family) >= 34, words
    others = [word for word in words if word not in (family, "")]
    assert len(others) <= 4, words


@pytest.mark.parametrize("count", [5, 6, 7])
@pytest.mark.parametrize("exponent", [0.5, 1.5, 2.5])
def test_other_exponents_are_free_and_have_an_interval(exponent: float, count: int) -> None:
    sizes = tuple(16 * 4**step for step in range(count))
    found = [fit_curve(made(0.0, 3.0, exponent, sizes, noise=0.02, seed=seed)) for seed in range(40)]
    fits = [fit for fit in found if isinstance(fit, Fit)]
    assert len(fits) >= 30
    assert sum(fit.family == "power" for fit in fits) >= len(fits) - 2
    for fit in fits:
        if fit.family == "power":
            assert fit.exponent == pytest.approx(exponent, abs=0.15)
            assert fit.word.startswith(f"N^{fit.exponent:.2f}")
            assert fit.low is not None
            assert fit.high is not None
            assert fit.low <= fit.exponent <= fit.high


@pytest.mark.parametrize("count", [4, 5, 6, 7])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_plateau_before_growth_gives_no_wrong_law(power: float, count: int) -> None:
    random = np.random.default_rng(count)
    sizes = [16 * 4**step for step in range(count)]
    wrong = 0
    for _ in range(60):
        kink = sizes[0] * 4 ** random.uniform(0.7, count - 1.3)
        noise = np.exp(0.02 * random.standard_normal(count)).tolist()
        fit = fit_curve({n: [max(1.0, (n / kink) ** power) * e] for n, e in zip(sizes, noise, strict=True)})
        right = {1.0: "linear", 2.0: "quadratic"}[power]
        wrong += isinstance(fit, Fit) and fit.family not in (right, "constant")
    assert wrong <= 6


def test_a_free_exponent_needs_five_sizes() -> None:
    assert fitted(made(0.0, 1.0, 2.0, SIZES[:4])).word == "quadratic"
    assert isinstance(fit_curve(made(0.0, 1.0, 0.3, SIZES[:4])), Slopes)
    fit = fit_curve(made(0.0, 1.0, 0.3), exact=True)
    assert isinstance(fit, Fit)
    assert fit.word == "N^0.30"
    assert fitted(made(0.0, 9.0, -1.0)).word == "N^-1.00"


def test_a_law_that_is_far_off_is_not_named() -> None:
    wild = {size: [size * (1.0 + 0.4 * (-1) ** place)] for place, size in enumerate(SIZES)}
    fit = fit_curve(wild)
    assert isinstance(fit, Slopes)
    assert (fit.word, fit.reason) == ("", "no law fits within 10 %")


def test_too_little_growth_has_no_law() -> None:
    values = {size: [value] for size, value in zip(SIZES, (1.0, 1.02, 1.06, 1.2, 1.4, 1.9), strict=True)}
    fit = fit_curve(values)
    assert isinstance(fit, Slopes)
    assert fit.word == ""


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("repeats", [2, 5])
def test_what_does_not_grow_is_a_constant(noise: float, repeats: int) -> None:
    fit = fitted(made(0.0, 70.0, 0.0, repeats=repeats, noise=noise))
    assert (fit.offset, fit.exponent, fit.word) == (0.0, 0.0, "constant")
    assert fit.at(10**6) == pytest.approx(70.0, rel=0.05)
    assert fit.size_where(1e9) is None


@pytest.mark.parametrize(
    ("last", "word"),
    [
        (1.02, "about constant so far"),
        (3.8, "about linear so far"),
        (15.0, "about quadratic so far"),
        (7.0, ""),
        (0.3, ""),
    ],
)
@pytest.mark.parametrize("count", [2, 3])
def test_two_or_three_sizes_are_called_by_their_last_step(last: float, word: str, count: int) -> None:
    values = dict(list({4: [1.0], 16: [2.0], 64: [2.0 * last]}.items())[3 - count :])
    fit = fit_curve(values)
    assert isinstance(fit, Slopes)
    assert fit.word == word


def test_a_step_of_less_than_twice_the_size_is_called_nothing() -> None:
    fit = fit_curve({16: [1.0], 24: [1.5]})
    assert isinstance(fit, Slopes)
    assert fit.word == ""


def test_the_size_where_a_value_is_reached() -> None:
    fit = fitted(made(100.0, 2.0, 2.0))
    assert fit.size_where(100.0 + 2.0 * 1000**2) == pytest.approx(1000, rel=1e-2)
    assert fit.size_where(50.0) is None
    falling = fitted(made(0.0, 1000.0, -1.0))
    assert falling.size_where(1.0) == pytest.approx(1000, rel=1e-2)
    logarithmic = fitted({n: [5.0 + 3.0 * n * math.log2(n)] for n in SIZES})
    assert logarithmic.word == "N log N"
    assert logarithmic.size_where(5.0 + 3.0 * 4096 * 12) == pytest.approx(4096, rel=1e-3)
    assert logarithmic.slope_at(64) == pytest.approx(3 * (6 + 1 / math.log(2)), rel=1e-3)
    assert Fit("power", 0.0, 1.0, 1e-3, SIZES).size_where(1e300) is None


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
        ({}, "no size measured, at least 2 needed"),
        ({4: [1.0]}, "only one size measured, at least 2 needed"),
        ({4: [1.0], 8: []}, "only one size measured, at least 2 needed"),
        ({4: [1.0], 8: [2.0, 0.0]}, "values must be positive and finite, not 0 (at size 8)"),
        ({4: [1.0], 8: [math.inf]}, "values must be positive and finite, not inf (at size 8)"),
        ({4: [1e-320], 8: [0.01], 16: [0.02], 32: [0.04]}, "the values 1e-320 and 0.04 are too far apart"),
        ({4: [1e-320, 0.01], 8: [0.01]}, "the values 1e-320 and 0.01 are too far apart"),
        ({4: [1.0], 8: [2.0], 16: [3.0], 10**90: [4.0]}, "the sizes 4 and 1e+90 are too far apart"),
        ({0: [1.0], 8: [1.0]}, "sizes must be positive, not 0"),
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
            assert isinstance(fit, (Slopes, Refusal))


def test_whatever_is_named_is_near_and_does_not_depend_on_the_unit() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        sizes = np.unique(random.integers(1, 5000, random.integers(4, 8))).tolist()
        if len(sizes) < 4:
            continue
        values = {size: np.exp(random.normal(0, 3) + random.normal(0, 0.3, 2)).tolist() for size in sizes}
        if random.random() < 0.7:
            power = random.uniform(-1, 3)
            values = {size: [y * size**power * math.exp(0.02 * random.normal()) for y in (1.0, 1.01)] for size in sizes}
        fit, other = fit_curve(values), fit_curve({size: [y * 1e9 for y in ys] for size, ys in values.items()})
        assert isinstance(fit, (Fit, Slopes))
        assert type(fit) is type(other)
        if isinstance(fit, Fit) and isinstance(other, Fit):
            assert fit.word == other.word
            assert max(fit.error, fit.left_out_error) <= 0.1
            for size in sizes:
                assert fit.at(size) == pytest.approx(np.mean(values[size]), rel=0.3)
                assert other.at(size) == pytest.approx(1e9 * fit.at(size), rel=1e-6)


@pytest.mark.parametrize("unit", [5e-324, 1e-300, 1e300])
@pytest.mark.parametrize("repeats", [1, 5])
def test_tiny_and_huge_values_give_an_answer_without_a_warning(unit: float, repeats: int) -> None:
    values = {size: [size * unit * (1 + 0.01 * repeat) for repeat in range(repeats)] for size in SIZES}
    fit = fit_curve(values)
    assert isinstance(fit, Refusal) or (isinstance(fit, Fit) and math.isfinite(fit.at(256)))


XLA_PLANS: dict[str, tuple[dict[int, int], str, int | None]] = {
    "sable factored": (
        {2: 1996468, 4: 1998248, 8: 2001808, 16: 2560544, 32: 3820992, 64: 6306304, 128: 11305792, 256: 21276736},
        "linear",
        16,
    ),
    "sable recurrent": (
        {2: 1997412, 4: 1999192, 8: 2208320, 16: 3118736, 32: 4949104, 64: 8616688, 128: 15967024, 256: 30648368},
        "linear",
        8,
    ),
    "ippo": (
        {2: 52400, 4: 57764, 8: 84236, 16: 136668, 32: 242300, 64: 450556, 128: 870012, 256: 1700604, 512: 3370236},
        "linear",
        4,
    ),
    "sable parallel": (
        {2: 1996452, 4: 1998424, 8: 2002752, 16: 2619600, 32: 4384880, 64: 9151600, 128: 25478896, 256: 83663984},
        "quadratic",
        16,
    ),
    "mat dense": (
        {2: 1563656, 4: 1565436, 8: 1568996, 16: 1924532, 32: 3086420, 64: 6000788, 128: 14441236, 256: 57356052},
        "",
        None,
    ),
    "mat dense, narrow": (
        {192: 21160084, 256: 49214868, 384: 108438164, 512: 190762900, 768: 424716692, 1024: 751076244},
        "quadratic",
        256,
    ),
    "mat blockwise": (
        {2: 1563744, 4: 1565524, 8: 1569084, 16: 1918476, 32: 2975916, 64: 5386476, 128: 9464060, 256: 17966588},
        "",
        None,
    ),
    "mat dense, learning in groups of environments from 512 agents on": (
        {16: 4828684, 128: 70633812, 512: 412927316, 1024: 397579604},
        "",
        None,
    ),
}
"""Bytes of XLA's plan as sweeps of scenario neom recorded them, the form that is known, and from where on it holds."""


@pytest.mark.parametrize("name", XLA_PLANS)
def test_a_real_plan_is_called_what_it_is_or_nothing(name: str) -> None:
    """A plan is a plateau up to a kink, then a law: what spans the kink has none, what lies beyond it is named."""
    plan, form, first = XLA_PLANS[name]
    sizes = list(plan)
    for start, end in itertools.combinations(range(len(sizes) + 1), 2):
        if end - start < 4:
            continue
        chosen = sizes[start:end]
        fit = fit_curve({size: [plan[size]] for size in chosen}, exact=True)
        if isinstance(fit, Fit):
            assert fit.word in (form, "constant") or not form
            assert fit.family == "constant" or 1 / 1.5 < fit.at(max(plan)) / plan[max(plan)] < 1.5
        if first is not None and chosen[0] == first and chosen[-1] == sizes[-1]:
            assert isinstance(fit, Fit) or form == "quadratic"


def test_repeats_that_agree_show_that_there_is_no_noise() -> None:
    plan = XLA_PLANS["sable factored"][0]
    values = {size: [plan[size]] * 2 for size in (2, 4, 8, 16, 32)}
    assert isinstance(fit_curve(values), Slopes)
    assert fit_curve(values) == fit_curve(values, exact=True)


def test_figures_without_noise_are_constant_within_five_per_cent_only() -> None:
    values = {size: [100.0 + 6.0 * (place % 2)] for place, size in enumerate(SIZES)}
    assert fitted(values).exponent == 0
    assert isinstance(fit_curve(values, exact=True), Slopes)
    level = fit_curve({size: [100.0 + step] for step, size in enumerate(SIZES[:4])}, exact=True)
    assert isinstance(level, Fit)
    assert level.exponent == 0


def test_a_part_that_grows_linearly_stands_beside_one_that_grows_as_the_square() -> None:
    fit = fit_curve({size: [1e6 + 2e4 * size + 300.0 * size**2] for size in SIZES}, exact=True)
    assert isinstance(fit, Fit)
    assert (fit.offset, fit.linear_scale, fit.scale) == pytest.approx((1e6, 2e4, 300.0), rel=1e-3)
    assert (fit.exponent, fit.word, fit.draws) == (2.0, "quadratic", ())
    assert fit.at(1000) == pytest.approx(1e6 + 2e7 + 3e8)
    assert fit.slope_at(1000) == pytest.approx(2e4 + 6e5)
    assert fit.size_where(fit.at(1000)) == pytest.approx(1000)
    power = fit_curve({size: [1e6 + 2e4 * size**1.5] for size in SIZES}, exact=True)
    assert isinstance(power, Fit)
    assert power.exponent == pytest.approx(1.5, abs=1e-3)
    assert (power.linear_scale, power.family) == (0.0, "power")


def test_importing_it_loads_no_numpy() -> None:
    code = "import sys, reports.growth.fit; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
