"""Dropout sits where OpenAI's GPT-2 has it and acts in training only; averaged weights are the mean."""

import math

import pytest
import torch
import torch.nn.functional as F

from conftest import SIZES, shake
from gpt2lib import GPT2, GPT2Config, Trainer, TrainingConfig, causal_mask, merge_heads, split_heads

RATES = {"embd_pdrop": 0.1, "attn_pdrop": 0.2, "resid_pdrop": 0.3}


@pytest.fixture
def dropping() -> GPT2:
    model = GPT2(GPT2Config(**SIZES, **RATES))
    shake(model)
    return model


def by_hand(model: GPT2, tokens: torch.Tensor) -> torch.Tensor:
    """The forward pass with its dropouts written out."""
    mask = causal_mask(tokens.shape[1], tokens.shape[1])
    x = F.dropout(model.wte(tokens) + model.wpe.weight[: tokens.shape[1]], RATES["embd_pdrop"])
    for block in model.h:
        parts = block.attn.c_attn(block.ln_1(x)).chunk(3, dim=-1)
        q, k, v = (split_heads(part, model.config.n_head) for part in parts)
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf)
        gathered = F.dropout(scores.softmax(-1), RATES["attn_pdrop"]) @ v
        x = x + F.dropout(block.attn.c_proj(merge_heads(gathered)), RATES["resid_pdrop"])
        hidden = F.gelu(block.mlp.c_fc(block.ln_2(x)), approximate="tanh")
        x = x + F.dropout(block.mlp.c_proj(hidden), RATES["resid_pdrop"])
    return model.ln_f(x) @ model.wte.weight.T


def test_the_same_masks_give_the_numbers_of_a_hand_made_forward(dropping):
    tokens = torch.randint(311, (2, 17), generator=torch.Generator().manual_seed(1))
    dropping.train()
    torch.manual_seed(5)
    got = dropping(tokens)
    torch.manual_seed(5)
    want = by_hand(dropping, tokens)
    assert torch.allclose(got, want, atol=1e-4)
    torch.manual_seed(6)
    assert not torch.allclose(got, by_hand(dropping, tokens), atol=1e-1)


def test_eval_and_a_rate_of_zero_drop_nothing(dropping, small):
    tokens = torch.randint(311, (2, 17), generator=torch.Generator().manual_seed(2))
    dropping.eval()
    assert torch.allclose(dropping(tokens), small(tokens), atol=1e-5)
    assert torch.allclose(small.train()(tokens), small.eval()(tokens), atol=1e-5)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, math.nan, "0.1", None])
@pytest.mark.parametrize("name", RATES)
def test_impossible_rates_are_refused(name, rate):
    with pytest.raises(ValueError, match=f"{name} is .* at least 0 and below 1"):
        GPT2Config(**{name: rate})


def run(model: GPT2, **settings) -> Trainer:
    tokens = torch.randint(311, (500,), generator=torch.Generator().manual_seed(3))
    config = TrainingConfig(steps=8, batch_size=4, context=16, warmup_steps=2, **settings)
    return Trainer(model.train(), tokens, config)


def test_the_averaged_weights_are_the_mean_of_the_last_part_of_the_run(small):
    trainer, seen = run(small, average=0.5), []
    for _ in trainer:
        seen.append(small.wte.weight.detach().clone())
    with trainer.averaged_weights():
        assert torch.allclose(small.wte.weight, torch.stack(seen[4:]).mean(0), atol=1e-6)
    assert torch.allclose(small.wte.weight, seen[-1], atol=1e-7)
    assert not torch.allclose(seen[4], seen[-1], atol=1e-5)


def test_without_averaging_the_weights_are_the_present_ones(small):
    trainer = run(small)
    trainer.update()
    before = small.wte.weight.detach().clone()
    with trainer.averaged_weights():
        assert torch.allclose(small.wte.weight, before, atol=1e-7)
    assert torch.allclose(small.wte.weight, before, atol=1e-7)


def test_a_resumed_run_drops_and_averages_as_an_uninterrupted_one(dropping):
    start = {name: weight.clone() for name, weight in dropping.state_dict().items()}
    whole = run(dropping, average=0.6)
    losses = [progress.loss for progress in whole]
    mean = [weight.clone() for weight in whole.mean]

    dropping.load_state_dict(start)
    first = run(dropping, average=0.6)
    halves = [first.update().loss for _ in range(5)]
    state = first.state_dict()
    torch.manual_seed(99)  # whatever happens in between
    second = run(dropping, average=0.6)
    second.load_state_dict(state)
    halves += [progress.loss for progress in second]
    assert halves == pytest.approx(losses, abs=1e-4)
    assert all(torch.allclose(a, b, atol=2e-4) for a, b in zip(second.mean, mean))
    last = dropping.state_dict()["wte.weight"]
    # what the line above sees
    assert min((last - b).abs().max() for b in mean if b.shape == last.shape) > 5e-4
