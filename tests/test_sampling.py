"""Sampling: the distribution first, the draw second, the order as promised."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt2lib import Sampler, greedy, keep_top_k, keep_top_p, scale_temperature

INF = math.inf
LOGITS = torch.tensor([[0.1, 2.0, -1.0, 0.7, 2.0], [3.0, -2.0, 0.5, 0.4, -0.3]])


def kept(logits):
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


def test_temperature_divides():
    assert torch.equal(scale_temperature(LOGITS, 0.5), LOGITS * 2)
    assert torch.equal(scale_temperature(LOGITS, 1.0), LOGITS)


def test_temperature_zero_is_greedy():
    assert kept(scale_temperature(LOGITS, 0)) == [[1], [0]]
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        assert (
            Sampler(temperature=0, generator=generator)(LOGITS).tolist() == greedy(LOGITS).tolist() == [1, 0]
        )


def test_top_k_keeps_exactly_k():
    assert kept(keep_top_k(LOGITS, 1)) == [[1], [0]]  # of equal ones the first
    assert kept(keep_top_k(LOGITS, 3)) == [[1, 3, 4], [0, 2, 3]]
    assert torch.equal(keep_top_k(LOGITS, 5), LOGITS)
    assert torch.equal(keep_top_k(LOGITS, 99), LOGITS)
    assert kept(keep_top_k(torch.zeros(1, 6), 2)) == [[0, 1]]


def test_top_p_keeps_the_token_that_crosses():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    assert kept(keep_top_p(logits, 0.8)) == [[1, 2, 3]]
    assert kept(keep_top_p(logits, 0.01)) == [[1]]
    assert kept(keep_top_p(logits, 1.0)) == [[0, 1, 2, 3]]
    exact = torch.tensor([[0.5, 0.25, 0.25]]).log()
    assert kept(keep_top_p(exact, 0.5)) == [[0]]  # 0.5 is reached
    assert kept(keep_top_p(exact, 0.75)) == [[0, 1]]


# Steps of 0.001: closer logits may have equal probabilities, and either order is right then.
rows = st.lists(st.floats(-20, 20).map(lambda x: round(x, 3)), min_size=1, max_size=30)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(row=rows, k=st.integers(1, 40), p=st.floats(0.01, 1), t=st.floats(0.1, 5))
def test_filters_agree_with_a_plain_reading_of_them(row, k, p, t):
    logits = torch.tensor([row])
    order = sorted(range(len(row)), key=lambda i: (-logits[0, i].item(), i))
    assert kept(keep_top_k(logits, k)) == [sorted(order[:k])]
    probabilities = logits.double().softmax(-1)[0].tolist()
    nucleus, total = [], 0.0
    for i in order:
        nucleus.append(i)
        total += probabilities[i]
        if total >= p:
            break
    if (
        abs(total - p) > 1e-5 and abs(total - probabilities[nucleus[-1]] - p) > 1e-5
    ):  # float32 may differ at the edge
        assert kept(keep_top_p(logits, p)) == [sorted(nucleus)]
    distribution = Sampler(t, k, p).distribution(logits)
    assert torch.allclose(distribution, keep_top_p(keep_top_k(logits / t, k), p).softmax(-1), atol=1e-6)


def test_a_filter_changes_nothing_that_it_keeps_and_not_its_argument():
    before = LOGITS.clone()
    for result in (keep_top_k(LOGITS, 2), keep_top_p(LOGITS, 0.5), scale_temperature(LOGITS, 0)):
        assert torch.equal(LOGITS, before)
        assert torch.equal(result[result.isfinite()], LOGITS[result.isfinite()])
        assert result.shape == LOGITS.shape


def test_draws_follow_the_distribution():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().expand(20_000, 4)
    draws = Sampler(top_k=3, generator=torch.Generator().manual_seed(0))(logits)
    shares = draws.bincount(minlength=4) / len(draws)
    want = torch.tensor([0.5, 0.3, 0.15, 0.0]) / 0.95
    assert (shares - want).abs().max() < 0.015
    assert shares[3] == 0


def test_temperature_comes_before_top_p():
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    assert Sampler(temperature=10.0, top_p=0.6).distribution(logits).count_nonzero() == 2
    assert Sampler(temperature=1.0, top_p=0.6).distribution(logits)[0, 0] > 0.6


def test_the_same_generator_state_gives_the_same_draws():
    def draw(seed):
        sampler = Sampler(0.9, generator=torch.Generator().manual_seed(seed))
        return [sampler(LOGITS).tolist() for _ in range(10)]

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize("t", [-1, -0.001, INF, math.nan, None, "0.7", [1.0]])
def test_a_bad_temperature_is_refused(t):
    with pytest.raises(ValueError, match="temperature"):
        scale_temperature(LOGITS, t)
    with pytest.raises(ValueError, match="temperature"):
        Sampler(temperature=t)


@pytest.mark.parametrize("k", [0, -1, 5.0, "5", [5]])
def test_a_bad_top_k_is_refused(k):
    with pytest.raises(ValueError, match="top_k"):
        keep_top_k(LOGITS, k)
    with pytest.raises(ValueError, match="top_k"):
        Sampler(top_k=k)


@pytest.mark.parametrize("p", [0, -0.1, 1.0001, math.nan, "0.9", [0.9]])
def test_a_bad_top_p_is_refused(p):
    with pytest.raises(ValueError, match="top_p"):
        keep_top_p(LOGITS, p)
    with pytest.raises(ValueError, match="top_p"):
        Sampler(top_p=p)


@pytest.mark.parametrize("generator", [42, "cpu", torch.tensor(3)])
def test_a_seed_is_no_generator(generator):
    with pytest.raises(TypeError, match="torch.Generator\\(\\).manual_seed"):
        Sampler(generator=generator)


def test_settings_may_be_numbers_of_numpy():
    assert Sampler(np.float32(0.5), np.int64(2), np.float64(0.9)).distribution(LOGITS).shape == LOGITS.shape
