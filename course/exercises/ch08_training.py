"""The exercises of chapter 08: the loss, batches, the optimizer's groups, the schedule, accumulation."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise import Exercise, Mistake

# --- 8.1 next_token_loss ---------------------------------------------------------------------------


def loss_cases():
    """Readable, batched, and with logits that overflow where they are exponentiated."""
    generator = torch.Generator().manual_seed(0)
    small = torch.tensor([[[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]])
    random = 3 * torch.randn(2, 4, 5, generator=generator)
    wild = torch.tensor([[[200.0, 0.0, 0.0, -50.0], [-300.0, 10.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    return [
        (small, torch.tensor([[0, 2]])),
        (random, torch.randint(5, (2, 4), generator=generator)),
        (wild, torch.tensor([[1, 1, 3]])),
    ]


def chosen(values, targets):
    """Return the value of each target: (B, T, V), (B, T) -> (B, T)."""
    return values.gather(-1, targets[..., None]).squeeze(-1)


def cross_entropy(logits, targets, **options):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **options)


def loss_sums(logits, targets):
    return cross_entropy(logits, targets, reduction="sum")


def loss_keeps_positions(logits, targets):
    return cross_entropy(logits, targets, reduction="none").view_as(targets)


def loss_shifts_again(logits, targets):
    return cross_entropy(logits[:, :-1], targets[:, 1:])


def loss_in_bits(logits, targets):
    return cross_entropy(logits, targets) / math.log(2)


def loss_of_probabilities(logits, targets):
    return cross_entropy(logits.softmax(-1), targets)


def loss_without_normalising(logits, targets):
    return -chosen(logits, targets).mean()


def loss_positive(logits, targets):
    return chosen(logits.log_softmax(-1), targets).mean()


def loss_over_positions(logits, targets):
    return -chosen(logits.log_softmax(1), targets).mean()


def loss_overflows(logits, targets):
    exponentials = logits.exp()
    return -(chosen(exponentials, targets) / exponentials.sum(-1)).log().mean()


def loss_probability(logits, targets):
    return 1 - chosen(logits.softmax(-1), targets).mean()


def loss_last_only(logits, targets):
    return F.cross_entropy(logits[:, -1], targets[:, -1])


def loss_of_texts(logits, targets):
    return loss_sums(logits, targets) / logits.shape[0]


def loss_of_positions(logits, targets):
    return loss_sums(logits, targets) / logits.shape[1]


def loss_of_first_text(logits, targets):
    return F.cross_entropy(logits[0], targets[0])


def loss_with_axes_renamed(logits, targets):
    B, T, V = logits.shape
    return F.cross_entropy(logits.reshape(B, V, T), targets)


def loss_with_rows_of_memory(logits, targets):
    return F.cross_entropy(logits.reshape(logits.shape[-1], -1).T, targets.flatten())


def loss_with_axes_mixed(logits, targets):
    return cross_entropy(logits.transpose(1, 2).reshape(logits.shape), targets)


def loss_over_texts(logits, targets):
    return -chosen(logits.log_softmax(0), targets).mean()


def loss_shifts_back(logits, targets):
    return cross_entropy(logits[:, 1:], targets[:, :-1])


def loss_of_own_guesses(logits, targets):
    return -logits.log_softmax(-1).amax(-1).mean()


def loss_with_floor(smallest):
    """Return an answer that hides the overflow behind a small number."""

    def loss(logits, targets):
        return -(chosen(logits.softmax(-1), targets) + smallest).log().mean()

    return loss


def loss_of_every_target(logits, targets):
    return -logits.log_softmax(-1)[:, :, targets].mean()


def loss_of_mean_probability(logits, targets):
    return -chosen(logits.softmax(-1), targets).mean().log()


def loss_over_vocabulary(logits, targets):
    return -(F.one_hot(targets, logits.shape[-1]) * logits.log_softmax(-1)).mean()


def loss_of_all_tokens(logits, targets):
    return -logits.log_softmax(-1).mean()


def loss_entropy(logits, targets):
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()


def loss_below_largest(logits, targets):
    shifted = logits - logits.amax(-1, keepdim=True)
    return (shifted.exp().sum(-1).log() - chosen(logits, targets)).mean()


def loss_log_twice(logits, targets):
    return (logits.logsumexp(-1).log() - chosen(logits, targets)).mean()


def loss_without_log(logits, targets):
    return (logits.exp().sum(-1) - chosen(logits, targets)).mean()


def loss_by_logsumexp(logits, targets):
    return (logits.logsumexp(-1) - chosen(logits, targets)).mean()


def loss_by_nll(logits, targets):
    return F.nll_loss(logits.double().log_softmax(-1).transpose(1, 2), targets)


def loss_by_loops(logits, targets):
    B, T, _ = logits.shape
    total = sum(logits[b, t].logsumexp(0) - logits[b, t, targets[b, t]] for b in range(B) for t in range(T))
    return total / (B * T)


def loss_by_one_hot(logits, targets):
    shifted = logits - logits.max(-1, keepdim=True).values
    log_p = shifted - shifted.exp().sum(-1, keepdim=True).log()
    return -(F.one_hot(targets, logits.shape[-1]) * log_p).sum(-1).mean()


def loss_by_einsum(logits, targets):
    right = F.one_hot(targets, logits.shape[-1]).double()
    return -torch.einsum("btv,btv->", logits.double().log_softmax(-1), right) / targets.numel()


def loss_by_texts(logits, targets):
    return sum(nn.CrossEntropyLoss()(text, right) for text, right in zip(logits, targets)) / len(logits)


# --- 8.2 sample_batch --------------------------------------------------------------------------------


def batch_cases():
    """Rows of numbers that occur once each, so that one tells its place; the last has one possible start."""
    return [
        (7 * torch.arange(1, 1 + N) % 101, size, T) for N, size, T in [(20, 3, 5), (14, 200, 5), (7, 4, 6)]
    ]


def run_batch(answer, tokens, batch_size, context):
    """Return what must hold of a random batch, however it was drawn."""
    torch.manual_seed(1)
    batch = answer(tokens, batch_size, context, torch.Generator().manual_seed(0))
    if batch is None:
        return None
    if len(batch) != 2 or not all(isinstance(part, torch.Tensor) for part in batch):
        return {"what is returned": "one tensor" if isinstance(batch, torch.Tensor) else "not two tensors"}
    inputs, targets = batch
    if inputs.ndim != 2:
        return {"shape of the inputs": tuple(inputs.shape)}
    again, _ = answer(tokens, batch_size, context, torch.Generator().manual_seed(0))
    other, _ = answer(tokens, batch_size, context, torch.Generator().manual_seed(5))
    starts = len(tokens) - context
    found = sorted(set(inputs[:, 0].tolist()))
    place_of = {token: place for place, token in enumerate(tokens.tolist())}
    places, next_places = (
        torch.tensor([place_of.get(i, -1000) for i in part.flatten().tolist()]).view(part.shape)
        for part in (inputs, targets)
    )
    facts = {
        "shape of the inputs": tuple(inputs.shape),
        "shape of the targets": tuple(targets.shape),
        "dtype": (inputs.dtype, targets.dtype),
        "places from an input to its target": sorted(set((next_places - places).flatten().tolist()))
        if inputs.shape == targets.shape
        else "other shapes",
        "each stretch is in one piece": bool((places.diff(dim=-1) == 1).all()),
        "same generator, same batch": torch.equal(inputs, again),
        "the stretches differ": starts == 1 or len(found) > 1,
        "another seed, another batch": starts == 1 or not torch.equal(inputs, other),
    }
    if batch_size == 200:
        facts["first tokens"] = found
        facts["each start about as often"] = inputs[:, 0].unique(return_counts=True)[1].max().item() < 60
    return facts


def starts_of(tokens, batch_size, context, generator, ends=0):
    return torch.randint(len(tokens) - context - ends, (batch_size, 1), generator=generator)


def batch_no_shift(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator) + torch.arange(context)
    return tokens[places], tokens[places]


def batch_shifts_back(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator) + torch.arange(context + 1)
    return tokens[places][:, 1:], tokens[places][:, :-1]


def batch_too_short(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator) + torch.arange(context)
    return tokens[places][:, :-1], tokens[places][:, 1:]


def batch_forgets_generator(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, None) + torch.arange(context + 1)
    return tokens[places][:, :-1], tokens[places][:, 1:]


def batch_runs_over(tokens, batch_size, context, generator=None):
    starts = torch.randint(len(tokens), (batch_size, 1), generator=generator)
    stretches = tokens[starts + torch.arange(context + 1)]
    return stretches[:, :-1], stretches[:, 1:]


def batch_misses_last(tokens, batch_size, context, generator=None):
    starts = torch.randint(max(1, len(tokens) - context - 1), (batch_size, 1), generator=generator)
    stretches = tokens[starts + torch.arange(context + 1)]
    return stretches[:, :-1], stretches[:, 1:]


def batch_one_start(tokens, batch_size, context, generator=None):
    start = torch.randint(len(tokens) - context, (1, 1), generator=generator)
    stretches = tokens[start + torch.arange(context + 1)].expand(batch_size, -1)
    return stretches[:, :-1], stretches[:, 1:]


def batch_scattered(tokens, batch_size, context, generator=None):
    places = torch.randint(len(tokens) - 1, (batch_size, context), generator=generator)
    return tokens[places], tokens[places + 1]


def batch_only_next(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator) + torch.arange(context + 1)
    return tokens[places][:, :-1], tokens[places][:, -1]


def batch_adds_one(tokens, batch_size, context, generator=None):
    inputs = tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context)]
    return inputs, inputs + 1


def batch_of_floats(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator) + torch.arange(context + 1)
    return tokens[places][:, :-1].float(), tokens[places][:, 1:].float()


def batch_of_whole_pieces(tokens, batch_size, context, generator=None):
    pieces = torch.randint((len(tokens) - 1) // context, (batch_size, 1), generator=generator)
    places = pieces * context + torch.arange(context + 1)
    return tokens[places][:, :-1], tokens[places][:, 1:]


def batch_one_short(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator, ends=1) + torch.arange(context + 1)
    return tokens[places][:, :-1], tokens[places][:, 1:]


def batch_rolled(tokens, batch_size, context, generator=None):
    inputs = tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context)]
    return inputs, inputs.roll(-1, dims=1)


def cut(tokens, starts, context):
    stretches = tokens[starts + torch.arange(context + 1)]
    return stretches[:, :-1], stretches[:, 1:]


def batch_only_last(tokens, batch_size, context, generator=None):
    inputs, targets = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    return inputs, targets[:, -1:]


def batch_piles_up(tokens, batch_size, context, generator=None):
    starts = torch.randint(len(tokens), (batch_size, 1), generator=generator)
    return cut(tokens, starts.clamp(max=len(tokens) - context - 1), context)


def batch_wraps(tokens, batch_size, context, generator=None):
    starts = torch.randint(len(tokens), (batch_size, 1), generator=generator)
    return cut(torch.cat([tokens, tokens]), starts, context)


def batch_misses_first(tokens, batch_size, context, generator=None):
    return cut(tokens, torch.randint(1, len(tokens) - context, (batch_size, 1), generator=generator), context)


def batch_seeds_inside(tokens, batch_size, context, generator=None):
    return cut(tokens, starts_of(tokens, batch_size, context, torch.Generator().manual_seed(0)), context)


def batch_without_repeats(tokens, batch_size, context, generator=None):
    starts = torch.randperm(len(tokens) - context, generator=generator)[:batch_size]
    return cut(tokens, starts[:, None], context)


def batch_not_cut(tokens, batch_size, context, generator=None):
    stretches = tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context + 1)]
    return stretches, stretches


def batch_inputs_not_cut(tokens, batch_size, context, generator=None):
    stretches = tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context + 1)]
    return stretches, stretches[:, 1:]


def batch_last_target_missing(tokens, batch_size, context, generator=None):
    inputs = tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context)]
    return inputs, inputs[:, 1:]


def batch_drawn_twice(tokens, batch_size, context, generator=None):
    inputs, _ = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    _, targets = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    return inputs, targets


def batch_of_places(tokens, batch_size, context, generator=None):
    return cut(torch.arange(len(tokens)), starts_of(tokens, batch_size, context, generator), context)


def batch_of_lists(tokens, batch_size, context, generator=None):
    inputs, targets = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    return inputs.tolist(), targets.tolist()


def batch_targets_twice(tokens, batch_size, context, generator=None):
    _, targets = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    return targets, targets


def batch_in_a_row(tokens, batch_size, context, generator=None):
    inputs, targets = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    return inputs.flatten(), targets.flatten()


def batch_on_its_side(tokens, batch_size, context, generator=None):
    inputs, targets = cut(tokens, starts_of(tokens, batch_size, context, generator), context)
    return inputs.T, targets.T


def batch_in_one(tokens, batch_size, context, generator=None):
    return tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context + 1)]


def batch_by_stack(tokens, batch_size, context, generator=None):
    starts = torch.randint(0, len(tokens) - context, (batch_size,), generator=generator).tolist()
    inputs = torch.stack([tokens[i : i + context] for i in starts])
    return inputs, torch.stack([tokens[i + 1 : i + context + 1] for i in starts])


def batch_by_unfold(tokens, batch_size, context, generator=None):
    windows = tokens.unfold(0, context + 1, 1)
    rows = windows[torch.randint(len(windows), (batch_size,), generator=generator)]
    return rows[:, :-1].clone(), rows[:, 1:].clone()


def batch_by_rand(tokens, batch_size, context, generator=None):
    starts = (torch.rand(batch_size, generator=generator) * (len(tokens) - context)).long()
    places = starts.unsqueeze(1) + torch.arange(context).unsqueeze(0)
    return tokens.take(places), tokens.take(places + 1)


def batch_by_loop(tokens, batch_size, context, generator=None):
    rows = []
    for _ in range(batch_size):
        start = torch.randint(len(tokens) - context, (), generator=generator).item()
        rows.append(tokens[start : start + context + 1])
    rows = torch.stack(rows)
    return [rows[:, :-1].contiguous(), rows[:, 1:].contiguous()]


# --- 8.3 to_bits_per_byte --------------------------------------------------------------------------


def bits_no_log(nats_per_token, n_tokens, n_bytes):
    return nats_per_token * n_tokens / n_bytes


def bits_wrong_way(nats_per_token, n_tokens, n_bytes):
    return nats_per_token * n_tokens * math.log(2) / n_bytes


def bits_per_token(nats_per_token, n_tokens, n_bytes):
    return nats_per_token / math.log(2)


def bits_inverted(nats_per_token, n_tokens, n_bytes):
    return nats_per_token / math.log(2) * n_bytes / n_tokens


def bits_of_byte(nats_per_token, n_tokens, n_bytes):
    return nats_per_token * n_tokens / math.log(2) / (8 * n_bytes)


def bits_divided_twice(nats_per_token, n_tokens, n_bytes):
    return nats_per_token / math.log(2) / n_bytes


def bits_rounded(digits):
    """Return an answer that rounds its result."""

    def bits(nats_per_token, n_tokens, n_bytes):
        return round(bits_by_log2e(nats_per_token, n_tokens, n_bytes), digits)

    return bits


def bits_by_log2e(nats_per_token, n_tokens, n_bytes):
    return math.log2(math.e) * nats_per_token * n_tokens / n_bytes


def bits_by_power(nats_per_token, n_tokens, n_bytes):
    return math.log2(math.exp(nats_per_token)) / (n_bytes / n_tokens)


def bits_by_steps(nats_per_token, n_tokens, n_bytes):
    total_nats = nats_per_token * n_tokens
    total_bits = total_nats / math.log(2)
    return torch.tensor(total_bits / n_bytes, dtype=torch.float64)


def bits_by_ratio(nats_per_token, n_tokens, n_bytes):
    bytes_per_token = n_bytes / n_tokens
    return -math.log2(math.exp(-nats_per_token)) / bytes_per_token


# --- 8.4 decay_groups --------------------------------------------------------------------------------


class Sample(nn.Module):
    """A model with every kind of parameter: matrices, gains, biases, frozen ones and a shared one."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(7, 4)
        self.ln_1 = nn.LayerNorm(4)
        self.wpe = nn.Embedding(3, 4)
        self.norm = nn.LayerNorm(4)  # equal to ln_1, and called otherwise
        self.c_fc = nn.Linear(4, 5)
        self.conv = nn.Conv1d(2, 3, 2)  # its weight has three dimensions
        self.frozen = nn.Linear(4, 3).requires_grad_(False)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.wte.weight


class Plain(nn.Module):
    """A linear layer and a gain."""

    def __init__(self):
        super().__init__()
        self.c_proj = nn.Linear(3, 2)
        self.ln_f = nn.LayerNorm(3)


def group_cases():
    """A small model, then one with a frozen and a shared matrix."""
    return [(Plain(), 0.1), (Sample(), 0.3)]


def run_groups(answer, model, weight_decay):
    """Return the names of the parameters in each group, with its decay."""
    names = {id(p): name for name, p in model.named_parameters(remove_duplicate=True)}

    def told(group):
        if iter(group["params"]) is group["params"]:
            return "used up after one reading"
        if isinstance(group["params"], set):
            return "a set, which has no order"
        return sorted(
            repr(p)
            if isinstance(p, str)
            else "a pair"
            if isinstance(p, tuple)
            else names.get(id(p), "a copy")
            for p in group["params"]
        )

    return [
        {"weight_decay": group.get("weight_decay", "not given"), "params": told(group)}
        for group in answer(model, weight_decay)
    ]


def wanted(model):
    return [p for p in model.parameters() if p.requires_grad]


def make_groups(decays, rest, weight_decay):
    return [{"params": decays, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def groups_all_decay(model, weight_decay):
    return make_groups(wanted(model), [], weight_decay)


def groups_by_bias_name(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return make_groups(
        [p for n, p in named if "bias" not in n], [p for n, p in named if "bias" in n], weight_decay
    )


def groups_swapped(model, weight_decay):
    ps = wanted(model)
    return make_groups([p for p in ps if p.ndim < 2], [p for p in ps if p.ndim >= 2], weight_decay)


def groups_tied_twice(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]
    return make_groups(
        [p for _, p in named if p.ndim >= 2], [p for _, p in named if p.ndim < 2], weight_decay
    )


def groups_without_embeddings(model, weight_decay):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decays = [p for n, p in named if p.ndim >= 2 and not n.startswith("w")]
    return make_groups(decays, [p for n, p in named if p.ndim < 2 or n.startswith("w")], weight_decay)


def groups_with_frozen(model, weight_decay):
    ps = list(model.parameters())
    return make_groups([p for p in ps if p.ndim >= 2], [p for p in ps if p.ndim < 2], weight_decay)


def groups_drop_rest(model, weight_decay):
    return [{"params": [p for p in wanted(model) if p.ndim >= 2], "weight_decay": weight_decay}]


def groups_fixed_decay(model, weight_decay):
    ps = wanted(model)
    return make_groups([p for p in ps if p.ndim >= 2], [p for p in ps if p.ndim < 2], 0.1)


def groups_of_two_dimensions(model, weight_decay):
    ps = wanted(model)
    return make_groups([p for p in ps if p.ndim == 2], [p for p in ps if p.ndim == 1], weight_decay)


def groups_by_weight_name(model, weight_decay):
    named = list(model.named_parameters())
    return make_groups(
        [p for n, p in named if n.endswith("weight")], [p for n, p in named if "bias" in n], weight_decay
    )


def groups_once_only(model, weight_decay):
    ps = wanted(model)
    return make_groups((p for p in ps if p.ndim >= 2), (p for p in ps if p.ndim < 2), weight_decay)


def groups_of_copies(model, weight_decay):
    ps = wanted(model)
    return make_groups(
        [p.clone() for p in ps if p.ndim >= 2], [p.clone() for p in ps if p.ndim < 2], weight_decay
    )


def groups_in_other_order(model, weight_decay):
    ps = wanted(model)
    return make_groups([p for p in ps if p.ndim >= 2], [p for p in ps if p.ndim < 2], weight_decay)[::-1]


def groups_in_one(model, weight_decay):
    return [{"params": wanted(model), "weight_decay": weight_decay}]


def groups_of_names(model, weight_decay):
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return make_groups([n for n, p in named if p.ndim > 1], [n for n, p in named if p.ndim < 2], weight_decay)


def groups_bare(model, weight_decay):
    return [p for p in wanted(model) if p.ndim > 1], [p for p in wanted(model) if p.ndim < 2]


def groups_without_decay(model, weight_decay):
    decays, rest = groups_bare(model, weight_decay)
    return [{"params": decays}, {"params": rest, "weight_decay": 0.0}]


def groups_without_second_decay(model, weight_decay):
    decays, rest = groups_bare(model, weight_decay)
    return [{"params": decays, "weight_decay": weight_decay}, {"params": rest}]


def groups_without_any_decay(model, weight_decay):
    decays, rest = groups_bare(model, weight_decay)
    return [{"params": decays}, {"params": rest}]


def groups_with_one_decay(model, weight_decay):
    return [{"params": part, "weight_decay": weight_decay} for part in groups_bare(model, weight_decay)]


def groups_in_a_dict(model, weight_decay):
    return make_groups(*groups_bare(model, weight_decay), weight_decay)[0]


def groups_of_pairs(model, weight_decay):
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return make_groups(
        [(n, p) for n, p in named if p.ndim > 1], [(n, p) for n, p in named if p.ndim < 2], weight_decay
    )


def groups_of_sets(model, weight_decay):
    decays, rest = groups_bare(model, weight_decay)
    return make_groups(set(decays), set(rest), weight_decay)


def groups_used_up(model, weight_decay):
    return make_groups(groups_bare(model, weight_decay)[0], [], weight_decay)


def groups_with_frozen_biases(model, weight_decay):
    rest = [p for p in model.parameters() if p.ndim < 2]
    return make_groups(groups_bare(model, weight_decay)[0], rest, weight_decay)


def groups_with_frozen_rest(model, weight_decay):
    decays = groups_bare(model, weight_decay)[0]
    chosen_ones = {id(p) for p in decays}
    return make_groups(decays, [p for p in model.parameters() if id(p) not in chosen_ones], weight_decay)


def groups_of_linear_layers(model, weight_decay):
    chosen_ones = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    ps = wanted(model)
    decays, rest = [p for p in ps if id(p) in chosen_ones], [p for p in ps if id(p) not in chosen_ones]
    return make_groups(decays, rest, weight_decay)


def groups_by_name(part):
    """Return an answer that keeps from decay what is called so, and biases."""

    def groups(model, weight_decay):
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        rest = [p for n, p in named if n.endswith("bias") or part in n]
        return make_groups([p for n, p in named if not (n.endswith("bias") or part in n)], rest, weight_decay)

    return groups


def groups_without_norms(model, weight_decay):
    norms = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    ps = wanted(model)
    return make_groups([p for p in ps if id(p) not in norms], [p for p in ps if id(p) in norms], weight_decay)


def groups_with_matrices_only(model, weight_decay):
    ps = wanted(model)
    return make_groups([p for p in ps if p.ndim == 2], [p for p in ps if p.ndim != 2], weight_decay)


def groups_above_two(model, weight_decay):
    ps = wanted(model)
    return make_groups([p for p in ps if p.ndim > 2], [p for p in ps if p.ndim <= 2], weight_decay)


def groups_of_state(model, weight_decay):
    ps = model.state_dict().values()
    return make_groups([p for p in ps if p.ndim >= 2], [p for p in ps if p.ndim < 2], weight_decay)


def groups_of_all_modules(model, weight_decay):
    ps = [p for module in model.modules() for p in module.parameters() if p.requires_grad]
    return make_groups([p for p in ps if p.ndim >= 2], [p for p in ps if p.ndim < 2], weight_decay)


def groups_with_all_in_second(model, weight_decay):
    return make_groups(groups_bare(model, weight_decay)[0], wanted(model), weight_decay)


def groups_by_loop(model, weight_decay):
    decay, rest = [], []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decay if parameter.dim() > 1 else rest).append(parameter)
    return make_groups(decay, rest, weight_decay)


def groups_by_modules(model, weight_decay):
    rest = {id(p) for m in model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    rest |= {id(p) for n, p in model.named_parameters() if n.endswith("bias")}
    ps = wanted(model)
    return [
        dict(weight_decay=weight_decay, params=[p for p in ps if id(p) not in rest]),
        dict(weight_decay=0, params=[p for p in ps if id(p) in rest]),
    ]


def groups_by_filter(model, weight_decay):
    ps = tuple(filter(lambda p: p.requires_grad, model.parameters()))
    return (
        {"params": tuple(p for p in ps if len(p.shape) >= 2), "weight_decay": weight_decay},
        {"params": tuple(p for p in ps if len(p.shape) == 1), "weight_decay": 0.0},
    )


def groups_by_flag(model, weight_decay):
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return [
        {"weight_decay": decay, "params": [p for p in named.values() if (p.ndim >= 2) == large]}
        for large, decay in ((True, weight_decay), (False, 0))
    ]


# --- 8.5 learning_rate -------------------------------------------------------------------------------


def rate_cases():
    """Steps along a run of 110 with 10 of warm-up; then without warm-up; then beyond the end."""
    cases = [(step, 1.0, 110, 10, 0.1) for step in (0, 4, 9, 10, 35, 60, 109, 110, 111, 160, 210, 500)]
    return (
        cases
        + [(step, 0.006, 40, 0, 0.001) for step in (0, 10, 40, 41)]
        + [(step, 2.0, 5, 5, 0.5) for step in (0, 4, 6)]
    )


def run_rate(answer, step, peak, total_steps, warmup_steps, floor):
    return answer(step, peak=peak, total_steps=total_steps, warmup_steps=warmup_steps, floor=floor)


def straight_rise(step, W, peak, floor):
    return peak * (step + 1) / W


def part_done(step, W, N, rest):
    return min(1.0, (step - W) / rest)


def half_cosine(done, peak, floor):
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


def in_warmup(step, W):
    return step < W


def make_rate(rise=straight_rise, done=part_done, fall=half_cosine, warms=in_warmup, form="guarded"):
    """Return a schedule with the asked-for slips in it; W is warmup_steps and N is total_steps.

    Where no step is left after the warm-up, a guarded one divides by 1, a bare one by 0. Two have a case of
    their own for the end: all steps from N on, or past N.
    """

    def schedule(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
        W, N = warmup_steps, total_steps
        if form == "ends" and step >= max(N, W) or form == "past" and step > max(N, W):
            return floor
        if warms(step, W):
            return rise(step, W, peak, floor)
        return fall(done(step, W, N, N - W if form in ("bare", "past") else max(1, N - W)), peak, floor)

    return schedule


FORMS = ("guarded", "bare", "ends", "past")


def in_forms(name, says, hint, forms=("guarded", "bare"), **slips):
    """Return a mistake once for each form that the rest of the schedule may have."""
    return [Mistake(name, make_rate(**slips, form=form), says, hint) for form in forms]


def rate_by_loop_free_torch(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step < warmup_steps:
        return torch.linspace(peak / warmup_steps, peak, warmup_steps, dtype=torch.float64)[step].item()
    span = max(total_steps - warmup_steps, 1)
    done = torch.tensor((step - warmup_steps) / span, dtype=torch.float64).clamp(0, 1)
    return (floor + (peak - floor) * (torch.cos(done * torch.pi) + 1) / 2).item()


def rate_by_cases(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step < warmup_steps:
        return (step + 1) / warmup_steps * peak
    if step >= total_steps:
        return floor
    angle = math.pi * (step - warmup_steps) / (total_steps - warmup_steps)
    return (peak + floor) / 2 + (peak - floor) / 2 * math.cos(angle)


def rate_by_halves(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step + 1 <= warmup_steps:
        return peak / warmup_steps * (step + 1)
    left = total_steps - warmup_steps
    wave = math.cos(math.pi * min(step - warmup_steps, left) / left) if left else 1 - 2 * (step > total_steps)
    return peak * (1 + wave) / 2 + floor * (1 - wave) / 2


def rate_by_sine(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    done = min(max(step - warmup_steps, 0) / max(total_steps - warmup_steps, 1), 1.0)
    fall = floor + (peak - floor) * math.cos(math.pi * done / 2) ** 2
    return peak * warm if step < warmup_steps else fall


# --- 8.6 accumulate_gradients ------------------------------------------------------------------------


def accumulate_cases():
    """Two, three and one micro-batch; old gradients lie in the model."""
    return [(2, 4, 3), (3, 6, 5), (1, 2, 4)]


def run_accumulate(answer, micro_batches, B, T):
    """Return the loss and the gradients that an answer leaves in a small model."""
    generator = torch.Generator().manual_seed(B)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            parameter.grad = torch.ones_like(parameter)
    inputs, targets = torch.randint(7, (2, B, T), generator=generator)
    before, passes = [p.clone() for p in model.parameters()], []
    model[1].register_forward_hook(lambda module, x, y: passes.append(f"{len(y)} forward"))
    model[1].register_full_backward_hook(lambda *_: passes.append("backward"))
    loss = answer(model, inputs, targets, micro_batches)
    same = all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    return {
        "loss": loss,
        "gradients": [p.grad for p in model.parameters()],
        "texts in each pass": ", ".join(passes),
        "weights": "as before" if same else "changed",
    }


def loss_of(model, x, y, **options):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), **options)


def in_chunks(inputs, targets, micro_batches):
    return zip(inputs.chunk(micro_batches), targets.chunk(micro_batches))


def in_slices(size):
    """Return a way to cut a batch: the slice size(i, micro_batches, B) for each part i."""

    def parts(inputs, targets, micro_batches):
        slices = [size(i, micro_batches, len(inputs)) for i in range(micro_batches)]
        return [(inputs[part], targets[part]) for part in slices]

    return parts


def make_accumulate(
    clear="first",
    divisor=lambda micro_batches, part, batch: micro_batches,
    report=lambda losses, micro_batches, batch: sum(losses) / micro_batches,
    parts=in_chunks,
    backward=True,
):
    """Return an answer with the asked-for slips in it.

    clear is first, each, last, zeros last or never; each loss is divided by the divisor before backward.
    """

    def accumulate(model, inputs, targets, micro_batches):
        if clear == "first":
            model.zero_grad()
        losses = []
        for x, y in parts(inputs, targets, micro_batches):
            if clear == "each":
                model.zero_grad()
            loss = loss_of(model, x, y)
            if backward:
                (loss / divisor(micro_batches, len(x), len(inputs))).backward()
            losses.append(loss.item())
        if "last" in clear:
            model.zero_grad(set_to_none=clear == "last")
        return report(losses, micro_batches, len(inputs))

    return accumulate


def undivided(micro_batches, part, batch):
    return 1


def accumulate_rows(model, inputs, targets, micro_batches):
    """Cut along the text instead of the batch and drop what is left over."""
    model.zero_grad()
    total, T = 0.0, max(1, inputs.shape[1] // micro_batches)
    for i in range(micro_batches):
        loss = loss_of(model, inputs[:, i * T : (i + 1) * T], targets[:, i * T : (i + 1) * T]) / micro_batches
        loss.backward()
        total += loss.item()
    return total


def accumulate_at_once(model, inputs, targets, micro_batches):
    model.zero_grad()
    loss = loss_of(model, inputs, targets)
    loss.backward()
    return loss.item()


def accumulate_backward_last(model, inputs, targets, micro_batches):
    model.zero_grad()
    parts = zip(inputs.chunk(micro_batches), targets.chunk(micro_batches))
    loss = sum(loss_of(model, x, y) for x, y in parts) / micro_batches
    loss.backward()
    return loss.item()


def accumulate_undivided_last(model, inputs, targets, micro_batches):
    model.zero_grad()
    total = sum(loss_of(model, x, y) for x, y in in_chunks(inputs, targets, micro_batches))
    total.backward()
    return total.item() / micro_batches


def accumulate_each_text(model, inputs, targets, micro_batches):
    return make_accumulate(parts=in_chunks)(model, inputs, targets, len(inputs))


def accumulate_steps(model, inputs, targets, micro_batches):
    loss = make_accumulate()(model, inputs, targets, micro_batches)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return loss


def accumulate_by_size(model, inputs, targets, micro_batches):
    model.zero_grad()
    total, parts = 0.0, list(zip(inputs.split(micro_batches), targets.split(micro_batches)))
    for x, y in parts:
        loss = loss_of(model, x, y) / len(parts)
        loss.backward()
        total += loss.item()
    return total


def accumulate_sums(model, inputs, targets, micro_batches):
    for parameter in model.parameters():
        parameter.grad = None
    losses = []
    for x, y in zip(inputs.chunk(micro_batches), targets.chunk(micro_batches)):
        loss = loss_of(model, x, y, reduction="sum") / targets.numel()
        loss.backward()
        losses.append(loss.detach())
    return float(sum(losses))


def accumulate_scaled(model, inputs, targets, micro_batches):
    model.zero_grad(set_to_none=False)
    size = len(inputs) // micro_batches
    total = 0.0
    for i in range(micro_batches):
        part = slice(i * size, (i + 1) * size)
        loss = loss_of(model, inputs[part], targets[part])
        loss.backward(torch.tensor(1 / micro_batches))
        total += loss.item()
    return total / micro_batches


def accumulate_autograd(model, inputs, targets, micro_batches):
    ps = list(model.parameters())
    grads, total = [torch.zeros_like(p) for p in ps], 0.0
    for x, y in zip(inputs.split(len(inputs) // micro_batches), targets.split(len(inputs) // micro_batches)):
        loss = loss_of(model, x, y) / micro_batches
        for total_grad, grad in zip(grads, torch.autograd.grad(loss, ps)):
            total_grad += grad
        total += loss.item()
    for p, g in zip(ps, grads):
        p.grad = g
    return total


EXERCISES = [
    Exercise(
        number="8.1",
        name="next_token_loss",
        differentiable=True,
        level=2,
        minutes=10,
        done="you have the number that all of training makes smaller.",
        hints=(
            "For one position: take the logits of that position, subtract their logsumexp, and you have the logarithms "
            "of the probabilities. Which of the V do you need?",
            "logits.logsumexp(dim=-1) has shape (B, T). The logit of each target has that shape too: "
            "gather it along the last dimension, with targets[..., None] as the index.",
            "The mean of (logsumexp minus the target's logit). Or F.cross_entropy, which wants (N, V) and (N,): "
            "flatten the first two dimensions of the logits.",
        ),
        cases=loss_cases,
        mistakes=[
            Mistake(
                "sum",
                loss_sums,
                "you add the surprises up. Take their mean, so that the loss does not depend on the size of the batch.",
                3,
            ),
            Mistake(
                "not-reduced",
                loss_keeps_positions,
                "you return one surprise for each position. Return their mean, one number.",
                3,
            ),
            Mistake(
                "R01-twice",
                loss_shifts_again,
                "you shift the targets once more. They are one token further on already: target t belongs to logits t.",
                1,
            ),
            Mistake(
                "bits",
                loss_in_bits,
                "your result is in bits. A loss is in nats: use the natural logarithm and divide by nothing.",
                1,
            ),
            Mistake(
                "softmax-twice",
                loss_of_probabilities,
                "you take a softmax first, and cross_entropy takes another one. It wants the logits as they are.",
                3,
            ),
            Mistake(
                "not-normalised",
                loss_without_normalising,
                "you use the target's logit as if it were a log-probability. Subtract the logsumexp of all logits of that position.",
                1,
            ),
            Mistake(
                "sign",
                loss_positive,
                "your result has the wrong sign. Surprise is minus the logarithm of the probability.",
                1,
            ),
            Mistake(
                "wrong-dim",
                loss_over_positions,
                "your softmax runs over the positions. It must run over the V tokens, the last dimension.",
                2,
            ),
            Mistake(
                "overflow",
                loss_overflows,
                "your formula is right, but large logits overflow: e to the 200 is infinite in float32. Use logsumexp or log_softmax.",
                1,
            ),
            Mistake(
                "probability",
                loss_probability,
                "you return 1 minus the mean probability. The surprise is minus its logarithm.",
                1,
            ),
            Mistake(
                "last-only",
                loss_last_only,
                "you score only the last position. Every one of the T positions is an example.",
                3,
            ),
            Mistake(
                "axes-of-torch",
                lambda logits, targets: F.cross_entropy(logits, targets),
                "F.cross_entropy wants the classes on axis 1. Flatten both first: logits (B * T, V), targets (B * T,).",
                3,
            ),
            Mistake(
                "minus-probability",
                lambda logits, targets: -chosen(logits.softmax(-1), targets).mean(),
                "you leave the logarithm out. The surprise is -log of the probability.",
                1,
            ),
            Mistake(
                "squares",
                lambda logits, targets: F.mse_loss(
                    logits.softmax(-1), F.one_hot(targets, logits.shape[-1]).float()
                ),
                "this is the squared error. The surprise looks only at the probability of the token that came: -log p.",
                1,
            ),
            Mistake(
                "misses",
                lambda logits, targets: (logits.argmax(-1) != targets).float().mean(),
                "you count wrong guesses. That number has no slope, so nothing could be learned from it: take -log of the probability.",
                1,
            ),
            Mistake(
                "misses",
                lambda logits, targets: (logits.argmax(-1) == targets).float().mean(),
                "you count right guesses. That number has no slope, so nothing could be learned from it: take -log of the probability.",
                1,
            ),
            Mistake(
                "sum-over-positions",
                loss_of_texts,
                "you add up the surprises of a text. Take the mean over its positions as well, so that the loss does not depend on the length.",
                3,
            ),
            Mistake(
                "sum-over-texts",
                loss_of_positions,
                "you add up the texts. Take the mean over them as well, so that the loss does not depend on the size of the batch.",
                3,
            ),
            Mistake(
                "first-text-only",
                loss_of_first_text,
                "you score only the first text of the batch. Every position of every text is an example.",
                3,
            ),
            Mistake(
                "scrambled",
                loss_with_axes_renamed,
                "reshape cuts the numbers as they lie in memory, so the V logits of a position are torn apart. transpose(1, 2) moves an axis; to flatten, keep V last: logits.flatten(0, 1).",
                3,
            ),
            Mistake(
                "scrambled",
                loss_with_axes_mixed,
                "after transpose(1, 2) the last axis holds positions, so flattening tears the V logits of a position apart. Flatten without transposing: logits.flatten(0, 1).",
                3,
            ),
            Mistake(
                "wrong-dim",
                loss_over_texts,
                "your softmax runs over the texts of the batch. It must run over the V tokens: dim=-1 (where no dim is given, F.log_softmax may take the first one).",
                2,
            ),
            Mistake(
                "shifts-back",
                loss_shifts_back,
                "you compare logits t with target t - 1, the token that the model has just read. Target t belongs to logits t: shift nothing.",
                1,
            ),
            Mistake(
                "not-normalised",
                lambda logits, targets: chosen(logits, targets).mean(),
                "you return the mean logit of the targets. A logit is no log-probability yet: subtract the logsumexp of its position, and turn the sign.",
                1,
            ),
            Mistake(
                "own-guess",
                loss_of_own_guesses,
                "you score the token that the model likes best. The surprise is about the token that came: take the log-probability of the target.",
                1,
            ),
            *[
                Mistake(
                    "small-number",
                    loss_with_floor(smallest),
                    "you add or clamp to a small number before the logarithm, so a surprise of 200 nats is reported as far less. With logsumexp or log_softmax nothing has to be added.",
                    1,
                )
                for smallest in (1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)
            ],
            Mistake(
                "every-target",
                loss_of_every_target,
                "[:, :, targets] takes all targets at every position. At a position only its own target counts: gather along the last dimension, or cross_entropy.",
                2,
            ),
            Mistake(
                "perplexity",
                lambda logits, targets: cross_entropy(logits, targets).exp(),
                "your result is the perplexity, e to the loss. Leave out the exp.",
                1,
            ),
            Mistake(
                "log-of-the-mean",
                loss_of_mean_probability,
                "you take the mean of the probabilities and then its logarithm. First the logarithm of each probability, then the mean.",
                1,
            ),
            Mistake(
                "divides-by-V",
                loss_over_vocabulary,
                "your result is V times too small, as by a mean over the vocabulary too. Sum over the V tokens, where all but one are 0, and take the mean over the positions.",
                3,
            ),
            Mistake(
                "all-tokens",
                loss_of_all_tokens,
                "you take the mean over all V log-probabilities. Only that of the target counts.",
                2,
            ),
            Mistake(
                "entropy",
                loss_entropy,
                "this is the entropy of the model's own guess: it does not look at the targets. Take -log of the probability of the token that came.",
                1,
            ),
            Mistake(
                "largest-subtracted-once",
                loss_below_largest,
                "you subtract the largest logit inside the logsumexp, but not from the target's logit. Subtract it from both, or use logits.logsumexp(-1).",
                1,
            ),
            Mistake(
                "log-twice",
                loss_log_twice,
                "logsumexp holds the logarithm already, and you take another one. Leave the second out.",
                1,
            ),
            Mistake(
                "no-log",
                loss_without_log,
                "you subtract from the sum of the exponentials. Take its logarithm first: logits.logsumexp(-1).",
                1,
            ),
            Mistake(
                "forgets-the-target",
                lambda logits, targets: logits.logsumexp(-1).mean(),
                "you return the mean logsumexp, and the targets are not used. Subtract the logit of each target from it.",
                1,
            ),
            Mistake(
                "other-base",
                lambda logits, targets: cross_entropy(logits, targets) / math.log(10),
                "you use the logarithm to the base 10. A loss is in nats: use the natural logarithm.",
                1,
            ),
            Mistake(
                "scrambled",
                loss_with_rows_of_memory,
                "reshape cuts the numbers as they lie in memory, so the V logits of a position are torn apart. Keep V last: logits.flatten(0, 1).",
                3,
            ),
            Mistake(
                "bits",
                lambda logits, targets: -chosen(logits.softmax(-1), targets).log2().mean(),
                "your result is in bits. A loss is in nats: use the natural logarithm, and log_softmax, which does not overflow.",
                1,
            ),
            Mistake(
                "other-base",
                lambda logits, targets: -chosen(logits.softmax(-1), targets).log10().mean(),
                "you use the logarithm to the base 10. A loss is in nats: use the natural logarithm, and log_softmax, which does not overflow.",
                1,
            ),
            Mistake(
                "first-position-only",
                lambda logits, targets: cross_entropy(logits[:1, :1], targets[:1, :1]),
                "you score the first position of the first text, as where a return stands inside the loop. Take the mean over all positions of all texts.",
                3,
            ),
            Mistake(
                "last-position-only",
                lambda logits, targets: cross_entropy(logits[-1:, -1:], targets[-1:, -1:]),
                "you score the last position of the last text, as where a loop overwrites its result. Add the surprises up, and divide by their number.",
                3,
            ),
        ],
        styles=[
            loss_by_logsumexp,
            loss_by_nll,
            loss_by_loops,
            loss_by_one_hot,
            loss_by_einsum,
            loss_by_texts,
        ],
    ),
    Exercise(
        number="8.2",
        name="sample_batch",
        level=2,
        minutes=10,
        done="any text is now an endless supply of examples.",
        hints=(
            "A stretch of context + 1 tokens holds both: all but its last token are the inputs, all but its first the targets.",
            "With N tokens the last stretch starts at N - context - 1. torch.randint(high, ...) draws from 0 to high - 1, "
            "so high is N - context.",
            "starts of shape (batch_size, 1) plus torch.arange(context + 1) gives all places at once; tokens[places] has shape "
            "(batch_size, context + 1). Cut it twice.",
        ),
        cases=batch_cases,
        run=run_batch,
        arguments=("tokens", "batch_size", "context"),
        mistakes=[
            Mistake(
                "R01",
                batch_no_shift,
                "your targets are the inputs themselves. Each target must be the token that comes after its input.",
                1,
            ),
            Mistake(
                "backwards",
                batch_shifts_back,
                "your model would learn to guess the token before. The targets are one token further on, the inputs one back.",
                1,
            ),
            Mistake(
                "too-short",
                batch_too_short,
                "your stretches are one token too short. Cut context + 1 tokens: after the shift, context are left.",
                1,
            ),
            Mistake(
                "no-generator",
                batch_forgets_generator,
                "the generator is not used, so a run cannot be repeated. Pass generator=generator to randint.",
                3,
            ),
            Mistake(
                "misses-last",
                batch_misses_last,
                "the last possible stretch never comes. randint's upper bound is not included: N - context is right.",
                2,
            ),
            Mistake(
                "runs-over",
                batch_runs_over,
                "some stretches run over the end of the text. The last start that fits is N - context - 1.",
                2,
            ),
            Mistake(
                "one-start",
                batch_one_start,
                "all rows are the same stretch. Draw batch_size starts, not one.",
                3,
            ),
            Mistake(
                "scattered",
                batch_scattered,
                "your inputs are tokens from all over the text. A row is one stretch of neighbors.",
                3,
            ),
            Mistake(
                "only-next",
                batch_only_next,
                "you return one target for each row. Every position has its own: targets has the shape of inputs.",
                1,
            ),
            Mistake(
                "misses-last",
                batch_one_short,
                "the last stretch is never drawn. Starts run from 0 to N - context - 1, which is torch.randint(N - context, ...).",
                3,
            ),
            Mistake(
                "adds-one",
                batch_adds_one,
                "your targets are the ids plus 1, which are other tokens altogether. A target is the token at the next place of the text.",
                1,
            ),
            Mistake(
                "floats",
                batch_of_floats,
                "your batch holds floats. Tokens are ids and stay whole numbers: a table is looked up with them.",
                1,
            ),
            Mistake(
                "whole-pieces",
                batch_of_whole_pieces,
                "your stretches start at multiples of context only. Every place where context + 1 tokens fit may be a start: torch.randint(N - context, ...).",
                2,
            ),
            Mistake(
                "rolled",
                batch_rolled,
                "roll puts the first token of a stretch behind its last one. The last target is the token after the stretch: cut context + 1 tokens.",
                2,
            ),
            Mistake(
                "only-next",
                batch_only_last,
                "you return one target for each row. Every position has its own: targets has the shape of inputs.",
                1,
            ),
            Mistake(
                "piles-up",
                batch_piles_up,
                "some starts come far more often than others, as with draws that are clamped to the last place. Draw from the places that fit: torch.randint(N - context, ...).",
                2,
            ),
            Mistake(
                "wraps-round",
                batch_wraps,
                "your stretches go on at the beginning of the text where it ends. A stretch is one piece: the last start that fits is N - context - 1.",
                2,
            ),
            Mistake(
                "misses-first",
                batch_misses_first,
                "the text's first token is never drawn. Places count from 0: torch.randint(N - context, ...).",
                2,
            ),
            Mistake(
                "seeds-inside",
                batch_seeds_inside,
                "you make the same batch whatever the generator. Draw the starts with torch.randint(..., generator=generator), and seed nothing yourself.",
                3,
            ),
            Mistake(
                "no-repeats",
                batch_without_repeats,
                "randperm gives each start once, so a batch is never larger than their number. Starts may repeat: torch.randint(N - context, (batch_size,), ...).",
                3,
            ),
            Mistake(
                "not-cut",
                batch_not_cut,
                "you return whole stretches of context + 1 tokens, twice. The inputs are all but the last token, [:, :-1], and the targets all but the first, [:, 1:].",
                1,
            ),
            Mistake(
                "inputs-not-cut",
                batch_inputs_not_cut,
                "your inputs keep the last token of the stretch, which nothing follows. Cut it off: [:, :-1].",
                1,
            ),
            Mistake(
                "last-target-missing",
                batch_last_target_missing,
                "your rows have one target less than inputs. Cut context + 1 tokens: after the shift, context are left on either side.",
                1,
            ),
            Mistake(
                "drawn-twice",
                batch_drawn_twice,
                "your inputs and targets come from different places. Draw the starts once and use them for both.",
                3,
            ),
            Mistake(
                "places",
                batch_of_places,
                "you return places in the text, not the tokens that stand there. Look them up: tokens[places].",
                3,
            ),
            Mistake(
                "not-two-tensors",
                batch_of_lists,
                "you return something else than two tensors. torch.stack joins rows of one length: return inputs, targets.",
                3,
            ),
            Mistake(
                "in-one",
                batch_in_one,
                "you return one tensor. Two are wanted, inputs and targets: all but the last column, and all but the first.",
                3,
            ),
            Mistake(
                "R01",
                batch_targets_twice,
                "your targets are the inputs themselves. The inputs are all but the last token of a stretch, [:, :-1], and the targets all but the first.",
                1,
            ),
            Mistake(
                "on-its-side",
                batch_on_its_side,
                "your texts run down the columns. A row is a text: inputs and targets have the shape (batch_size, context).",
                3,
            ),
            Mistake(
                "flat",
                batch_in_a_row,
                "your inputs are one long row. A batch has the shape (batch_size, context): torch.stack puts stretches below each other, torch.cat behind each other.",
                3,
            ),
        ],
        styles=[batch_by_stack, batch_by_unfold, batch_by_rand, batch_by_loop],
    ),
    Exercise(
        number="8.3",
        name="to_bits_per_byte",
        level=1,
        minutes=5,
        done="models with different tokenizers can be compared.",
        hints=(
            "First the nats of the whole text, from the mean and the number of tokens.",
            "One bit is ln 2 = 0.693 nats, so there are more bits than nats.",
            "All nats, divided by math.log(2), divided by the number of bytes.",
        ),
        cases=lambda: [(2.0, 1000, 4000), (3.3, 10, 44), (0.7, 7, 7), (1.0, 3, 5)],
        mistakes=[
            Mistake("nats", bits_no_log, "your result is in nats per byte. Divide by ln 2 to get bits.", 2),
            Mistake(
                "wrong-way",
                bits_wrong_way,
                "you multiply by ln 2. A bit is smaller than a nat, so there must be more of them: divide.",
                2,
            ),
            Mistake(
                "per-token",
                bits_per_token,
                "you return bits per token. Multiply by the tokens and divide by the bytes.",
                1,
            ),
            Mistake(
                "inverted",
                bits_inverted,
                "you divide by the tokens and multiply by the bytes. It is the other way round: a token covers several bytes, so a byte costs less.",
                1,
            ),
            Mistake(
                "eighth",
                bits_of_byte,
                "you divide by 8 as well. Bits per byte may go up to 8; that is meant.",
                3,
            ),
            Mistake(
                "mean-only",
                bits_divided_twice,
                "you divide the mean of one token by all bytes. Multiply it by the number of tokens first.",
                1,
            ),
            *[
                Mistake(
                    "rounded",
                    bits_rounded(digits),
                    "you round the result. Return all its digits; who prints it may round.",
                    3,
                )
                for digits in (4, 3, 2, 1, 0)
            ],
            Mistake(
                "whole-numbers",
                lambda nats_per_token, n_tokens, n_bytes: (
                    nats_per_token * (n_tokens // n_bytes) / math.log(2)
                ),
                "// drops what is behind the point, and tokens per byte are below 1. Divide with /.",
                3,
            ),
            Mistake(
                "log-of-nats",
                lambda nats_per_token, n_tokens, n_bytes: math.log2(nats_per_token) * n_tokens / n_bytes,
                "you take the logarithm of the loss, which is one already. One nat is 1 / ln 2 bits: divide by math.log(2).",
                2,
            ),
            Mistake(
                "perplexity",
                lambda nats_per_token, n_tokens, n_bytes: math.exp(nats_per_token) * n_tokens / n_bytes,
                "exp makes a perplexity of the loss. Stay with the logarithm: divide the nats by math.log(2).",
                2,
            ),
            Mistake(
                "perplexity",
                lambda nats_per_token, n_tokens, n_bytes: 2**nats_per_token * n_tokens / n_bytes,
                "2 to the power of the loss is a perplexity, and of bits at that. Stay with the logarithm: divide the nats by math.log(2).",
                2,
            ),
            Mistake(
                "log-of-nats",
                lambda nats_per_token, n_tokens, n_bytes: math.log(nats_per_token) * n_tokens / n_bytes,
                "you take the logarithm of the loss, which is one already. One nat is 1 / ln 2 bits: divide by math.log(2).",
                2,
            ),
            Mistake(
                "log-of-nats",
                lambda nats_per_token, n_tokens, n_bytes: math.log2(nats_per_token * n_tokens) / n_bytes,
                "you take the logarithm of the nats, which are logarithms already. One nat is 1 / ln 2 bits: divide by math.log(2).",
                2,
            ),
            Mistake(
                "whole-text",
                lambda nats_per_token, n_tokens, n_bytes: nats_per_token * n_tokens / math.log(2),
                "you return the bits of the whole text. Divide them by the number of bytes.",
                1,
            ),
            Mistake(
                "times-bytes",
                lambda nats_per_token, n_tokens, n_bytes: nats_per_token * n_tokens / math.log(2) * n_bytes,
                "you multiply by the bytes. More bytes for the same bits mean fewer bits per byte: divide (a / b * c multiplies by c).",
                1,
            ),
            Mistake(
                "times-8",
                lambda nats_per_token, n_tokens, n_bytes: (
                    8 * nats_per_token * n_tokens / math.log(2) / n_bytes
                ),
                "your result is 8 times too large. The bits of a byte need no factor: all bits, divided by all bytes.",
                3,
            ),
            Mistake(
                "one-token-less",
                lambda nats_per_token, n_tokens, n_bytes: (
                    nats_per_token * (n_tokens - 1) / math.log(2) / n_bytes
                ),
                "you count one token less. The mean is over n_tokens: multiply by that.",
                1,
            ),
            Mistake(
                "two-for-ln-2",
                lambda nats_per_token, n_tokens, n_bytes: nats_per_token * n_tokens / 2 / n_bytes,
                "you divide by 2. A bit is ln 2 = 0.693 nats: divide by math.log(2).",
                2,
            ),
            Mistake(
                "other-base",
                lambda nats_per_token, n_tokens, n_bytes: nats_per_token * n_tokens / math.log10(2) / n_bytes,
                "you use the logarithm to the base 10. A nat belongs to the natural one: divide by math.log(2).",
                2,
            ),
            Mistake(
                "inverted",
                lambda nats_per_token, n_tokens, n_bytes: nats_per_token * n_bytes / n_tokens,
                "you divide by the tokens and multiply by the bytes, and ln 2 is missing. All nats, divided by math.log(2), divided by the bytes.",
                1,
            ),
            *[
                Mistake(
                    "rounded-constant",
                    lambda nats_per_token, n_tokens, n_bytes, nats=nats: (
                        nats_per_token * n_tokens / nats / n_bytes
                    ),
                    "you use a rounded number for ln 2. Take math.log(2), which has all its digits.",
                    2,
                )
                for nats in (0.69, 0.693, 0.6931, 0.7, 1 / 1.44, 1 / 1.443, 1 / 1.4)
            ],
        ],
        styles=[bits_by_log2e, bits_by_power, bits_by_steps, bits_by_ratio],
    ),
    Exercise(
        number="8.4",
        name="decay_groups",
        level=2,
        minutes=10,
        done="matrices fade where nothing needs them; gains and biases are left alone.",
        hints=(
            "model.parameters() gives each parameter once, a shared one too. p.ndim tells a matrix (2) from a bias or a gain (1).",
            "Leave out what has requires_grad False. Embeddings are matrices as well.",
            "Two list comprehensions over the same list of parameters, one with p.ndim >= 2 and one with p.ndim < 2, in two dicts.",
        ),
        cases=group_cases,
        run=run_groups,
        mistakes=[
            Mistake(
                "R04",
                groups_all_decay,
                "everything decays, gains and biases too. Only tensors of two or more dimensions should.",
                1,
            ),
            Mistake(
                "bias-only",
                groups_by_bias_name,
                "you leave out the biases, but the gains of LayerNorm still decay. They have one dimension too.",
                1,
            ),
            Mistake(
                "bias-only",
                groups_by_weight_name,
                "you go by the name: LayerNorm's gain is called weight too, and what is frozen has no place in a group. Go by the number of dimensions and by requires_grad.",
                1,
            ),
            Mistake(
                "two-exactly",
                groups_of_two_dimensions,
                "a parameter of three dimensions is in no group, so it would never be updated. Two or more decay: p.ndim >= 2.",
                3,
            ),
            Mistake(
                "generators",
                groups_once_only,
                "your groups hold generators, which are empty after one reading. Make lists: [p for p in ...].",
                3,
            ),
            Mistake(
                "copies",
                groups_of_copies,
                "your groups hold other tensors than the model's parameters, such as copies or their .data. The optimizer has to get the parameters themselves, or the model stays as it is.",
                3,
            ),
            Mistake(
                "other-order",
                groups_in_other_order,
                "the groups are right and in the other order. What decays comes first.",
                3,
            ),
            Mistake(
                "swapped",
                groups_swapped,
                "the groups are swapped: matrices decay, gains and biases do not.",
                3,
            ),
            Mistake(
                "R04-tied",
                groups_tied_twice,
                "a shared matrix is listed twice and would be updated twice. model.parameters() gives it once.",
                1,
            ),
            Mistake(
                "no-embeddings",
                groups_without_embeddings,
                "your embeddings do not decay. They are matrices like the others.",
                2,
            ),
            Mistake(
                "frozen",
                groups_with_frozen,
                "a frozen parameter is in your groups. Leave out what has requires_grad False.",
                2,
            ),
            Mistake(
                "dropped",
                groups_drop_rest,
                "gains and biases are in no group, so they would never be updated. They need a group with decay 0.",
                3,
            ),
            Mistake(
                "fixed", groups_fixed_decay, "the decay is a fixed number. Use the argument weight_decay.", 3
            ),
            Mistake(
                "one-group", groups_in_one, "all is in one group, so gains and biases decay too. Make two.", 1
            ),
            Mistake(
                "names",
                groups_of_names,
                "your groups hold names. The optimizer wants the parameters themselves.",
                3,
            ),
            Mistake(
                "bare-lists",
                groups_bare,
                "you return two lists. A group is a dict: {'params': [...], 'weight_decay': ...}.",
                3,
            ),
            Mistake(
                "no-decay-given",
                groups_without_decay,
                "your first group does not say its weight_decay, so the optimizer's default holds.",
                3,
            ),
            Mistake(
                "no-decay-given",
                groups_without_second_decay,
                "your second group does not say its weight_decay, so the optimizer's default holds, which is not 0. Give it 0.",
                3,
            ),
            Mistake(
                "no-decay-given",
                groups_without_any_decay,
                "neither group says its weight_decay, so the optimizer's default holds for all. Give the first one weight_decay and the second one 0, under the key 'weight_decay'.",
                3,
            ),
            Mistake(
                "both-decay",
                groups_with_one_decay,
                "both groups have the same weight_decay, so gains and biases decay too. The second one has 0.",
                3,
            ),
            Mistake(
                "one-dict",
                groups_in_a_dict,
                "you return one dict. Two are wanted, in a list: those that decay, and the others with 0.",
                3,
            ),
            Mistake(
                "pairs",
                groups_of_pairs,
                "your groups hold pairs of a name and a parameter. Put in the parameters alone.",
                3,
            ),
            Mistake(
                "sets",
                groups_of_sets,
                "your groups hold sets, and torch's optimizers refuse them: their order changes from run to run. Make lists.",
                3,
            ),
            Mistake(
                "empty-second",
                groups_used_up,
                "your second group is empty. If both read one generator or filter object, the first used it up: make a list of it.",
                3,
            ),
            Mistake(
                "frozen",
                groups_with_frozen_biases,
                "a frozen bias is in your second group. Leave out what has requires_grad False, there too.",
                2,
            ),
            Mistake(
                "frozen",
                groups_with_frozen_rest,
                "the frozen parameters are in your second group. Leave them out of both: an else takes in all that is left.",
                2,
            ),
            Mistake(
                "linear-only",
                groups_of_linear_layers,
                "you look for nn.Linear, and other matrices do not decay. Go by the number of dimensions: p.ndim >= 2.",
                1,
            ),
            Mistake(
                "by-name",
                groups_by_name("ln"),
                "you go by the name, and a LayerNorm that is not called ln decays. Go by the number of dimensions: p.ndim >= 2.",
                1,
            ),
            Mistake(
                "biases-decay",
                groups_without_norms,
                "you leave out LayerNorm, but the other biases still decay. They have one dimension too.",
                1,
            ),
            Mistake(
                "two-exactly",
                groups_with_matrices_only,
                "a parameter of three dimensions does not decay. Two or more decay: p.ndim >= 2.",
                3,
            ),
            Mistake(
                "above-two",
                groups_above_two,
                "your matrices do not decay. They have two dimensions, and that is enough: p.ndim >= 2.",
                3,
            ),
            Mistake(
                "copies",
                groups_of_state,
                "state_dict() gives tensors that are cut off from the parameters, and frozen ones too. The optimizer has to get model.parameters().",
                1,
            ),
            Mistake(
                "listed-again",
                groups_of_all_modules,
                "the same parameters are listed several times. model.parameters() goes through all modules inside already, and gives each one once.",
                1,
            ),
            Mistake(
                "in-both",
                groups_with_all_in_second,
                "your matrices are in both groups. Each parameter belongs in one: the second takes those with p.ndim < 2.",
                3,
            ),
            Mistake(
                "by-name",
                groups_by_name("norm"),
                "you go by the name, and a LayerNorm that is not called norm decays. Go by the number of dimensions: p.ndim >= 2.",
                1,
            ),
        ],
        styles=[groups_by_loop, groups_by_modules, groups_by_filter, groups_by_flag],
    ),
    Exercise(
        number="8.5",
        name="learning_rate",
        level=2,
        minutes=15,
        done="the run starts gently and ends with small steps.",
        hints=(
            "Three cases: during the warm-up, along the cosine, past the end. Compute the rate of steps 0, 9, 10, 60 and 500 on paper first.",
            "How far along the cosine is a step? (step - warmup_steps) / (total_steps - warmup_steps): 0 at its start, 1 at its end. Clamp it to 1.",
            "With `done` between 0 and 1: 0.5 * (1 + cos(pi * done)) goes from 1 to 0. Stretch it to run from peak to floor. Mind the division by zero where total_steps equals warmup_steps.",
        ),
        cases=rate_cases,
        run=run_rate,
        arguments=("step", "peak", "total_steps", "warmup_steps", "floor"),
        mistakes=[
            *[
                mistake
                for rise, warms in (
                    (lambda step, W, peak, floor: peak * step / W, in_warmup),
                    (lambda step, W, peak, floor: peak * step / W, lambda step, W: step <= W),
                    (lambda step, W, peak, floor: peak * step / max(1, W), lambda step, W: step <= W),
                    (lambda step, W, peak, floor: peak * step / max(1, W - 1), in_warmup),
                )
                for mistake in in_forms(
                    "R08-zero",
                    "your first step has a rate of 0, so it changes nothing. In the warm-up the rate is peak * (step + 1) / warmup_steps.",
                    1,
                    rise=rise,
                    warms=warms,
                )
            ],
            *in_forms(
                "R08-unclamped",
                "past total_steps your cosine rises again. Clamp how far along it is to 1, so that the rate stays at the floor.",
                2,
                forms=("guarded",),
                done=lambda step, W, N, rest: (step - W) / rest,
            ),
            *in_forms(
                "unclamped-length",
                "after total_steps your cosine goes on and rises again, and with total_steps equal to warmup_steps it divides by 0. Return the floor from total_steps on.",
                3,
                forms=("bare",),
                done=lambda step, W, N, rest: (step - W) / rest,
            ),
            *in_forms(
                "whole-run",
                "your cosine is measured from step 0, so the rate drops where the warm-up ends. It begins where the warm-up ends: subtract warmup_steps from the step.",
                2,
                forms=("guarded",),
                done=lambda step, W, N, rest: min(1.0, step / N),
            ),
            *in_forms(
                "whole-run",
                "your cosine is measured from step 0, so the rate drops where the warm-up ends. It begins where the warm-up ends: subtract warmup_steps from the step.",
                2,
                done=lambda step, W, N, rest: min(1.0, step / rest),
            ),
            *in_forms(
                "line",
                "you fall along a straight line. It should be half a cosine: slow at first, fastest in the middle, slow at the end.",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: peak + (floor - peak) * done,
            ),
            *in_forms(
                "full-cosine",
                "you run through a whole cosine, down and up again. Half of it: cos from 0 to pi.",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: half_cosine(2 * done, peak, floor),
            ),
            *in_forms(
                "quarter",
                "you use a quarter of a cosine, which ends steeply. Use (1 + cos(pi * done)) / 2, which is flat at both ends.",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: floor + (peak - floor) * math.cos(math.pi / 2 * done),
            ),
            *in_forms(
                "no-pi",
                "your cosine goes from 0 to 1 radian only. Half a cosine is cos from 0 to pi: math.cos(math.pi * done).",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: half_cosine(done / math.pi, peak, floor),
            ),
            *in_forms(
                "rises",
                "your rate goes up from the floor to the peak after the warm-up. It has to fall: 1 + cos(pi * done) goes from 2 to 0 as done goes from 0 to 1.",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: half_cosine(1 - done, peak, floor),
            ),
            *in_forms(
                "of-the-whole-run",
                "you divide by total_steps, so the cosine is not through at the end. It takes total_steps - warmup_steps.",
                2,
                forms=("guarded", "ends", "past"),
                done=lambda step, W, N, rest: min(1.0, (step - W) / N),
            ),
            *in_forms(
                "no-half",
                "1 + cos goes from 2 to 0, so your rate starts at about twice the peak. Halve it.",
                3,
                fall=lambda done, peak, floor: 2 * half_cosine(done, peak, floor) - floor,
            ),
            *in_forms(
                "floor-added",
                "you add the floor on top, so the rate goes above the peak. Stretch the cosine over peak - floor.",
                3,
                fall=lambda done, peak, floor: floor + half_cosine(done, peak, 0.0),
            ),
            *in_forms(
                "no-floor",
                "your rate ends at 0. It should end at the floor.",
                3,
                fall=lambda done, peak, floor: half_cosine(done, peak, 0.0),
            ),
            *in_forms(
                "no-floor",
                "your cosine goes down to 0 and jumps to the floor at the end. Stretch it from peak to floor: floor + (peak - floor) * ...",
                3,
                forms=("ends",),
                fall=lambda done, peak, floor: half_cosine(done, peak, 0.0),
            ),
            *in_forms(
                "no-warmup",
                "there is no warm-up. For step < warmup_steps the rate rises in a straight line.",
                1,
                forms=("guarded", "bare", "past"),
                warms=lambda step, W: False,
            ),
            *in_forms(
                "no-warmup",
                "there is no warm-up, and your cosine begins at step 0. For step < warmup_steps the rate rises in a straight line, and the cosine begins after that.",
                1,
                forms=("guarded",),
                done=lambda step, W, N, rest: min(1.0, step / N),
                warms=lambda step, W: False,
            ),
            *in_forms(
                "no-warmup",
                "you keep the peak during the warm-up. For step < warmup_steps the rate rises in a straight line.",
                1,
                rise=lambda step, W, peak, floor: peak,
            ),
            *in_forms(
                "floor-as-a-minimum",
                "you let the cosine go to 0 and cut it off at the floor. It should be half a cosine from peak to floor: floor + (peak - floor) * ...",
                3,
                fall=lambda done, peak, floor: max(floor, half_cosine(done, peak, 0.0)),
            ),
            *in_forms(
                "warmup-from-floor",
                "your rise begins at the floor. It begins near 0: peak * (step + 1) / warmup_steps.",
                2,
                rise=lambda step, W, peak, floor: floor + (peak - floor) * (step + 1) / W,
            ),
            *in_forms(
                "warmup-from-floor",
                "your rise begins at the floor. It begins near 0: peak * (step + 1) / warmup_steps.",
                2,
                rise=lambda step, W, peak, floor: floor + (peak - floor) * step / W,
            ),
            *in_forms(
                "warmup-from-floor",
                "you keep the warm-up above the floor. The floor is for the end: the rise is peak * (step + 1) / warmup_steps.",
                2,
                rise=lambda step, W, peak, floor: max(floor, peak * (step + 1) / W),
            ),
            *in_forms(
                "warmup-too-long",
                "your rise is one step too long and goes above the peak. It ends at step warmup_steps - 1: step < warmup_steps.",
                2,
                warms=lambda step, W: 0 < W >= step,
            ),
            *in_forms(
                "warmup-too-long",
                "your rise is one step too long, goes above the peak, and divides by 0 where there is no warm-up. It ends at step warmup_steps - 1: step < warmup_steps.",
                2,
                warms=lambda step, W: step <= W,
            ),
            *in_forms(
                "warmup-too-slow",
                "your rise does not reach the peak at step warmup_steps - 1. It is peak * (step + 1) / warmup_steps.",
                1,
                rise=lambda step, W, peak, floor: peak * (step + 1) / (W + 1),
            ),
            *in_forms(
                "warmup-without-peak",
                "your rise goes to 1 and not to the peak. Multiply by peak.",
                1,
                rise=lambda step, W, peak, floor: (step + 1) / W,
            ),
            *in_forms(
                "warmup-curved",
                "your warm-up rises along a cosine. It should be a straight line: peak * (step + 1) / warmup_steps.",
                1,
                rise=lambda step, W, peak, floor: peak * 0.5 * (1 - math.cos(math.pi * (step + 1) / W)),
            ),
            *in_forms(
                "ends-one-early",
                "your rate reaches the floor one step before total_steps. The cosine takes total_steps - warmup_steps.",
                2,
                forms=("guarded",),
                done=lambda step, W, N, rest: min(1.0, (step - W) / max(1, rest - 1)),
            ),
            *in_forms(
                "ends-one-early",
                "your rate reaches the floor one step before total_steps. The cosine takes total_steps - warmup_steps.",
                2,
                forms=("guarded",),
                done=lambda step, W, N, rest: 1.0 if step >= N - 1 else (step - W) / rest,
            ),
            *in_forms(
                "one-step-ahead",
                "your cosine is one step ahead: at step warmup_steps it should still be at the peak. Use step - warmup_steps here; the + 1 belongs in the warm-up.",
                2,
                done=lambda step, W, N, rest: min(1.0, (step - W + 1) / rest),
            ),
            *in_forms(
                "whole-numbers",
                "// drops what is behind the point, so your rate stays at the peak and then jumps to the floor. Divide with /.",
                2,
                done=lambda step, W, N, rest: min(1, (step - W) // rest),
            ),
            *in_forms(
                "plain-cosine",
                "cos goes from 1 to -1, so your rate falls far below the floor. Use (1 + cos(pi * done)) / 2, which goes from 1 to 0.",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: floor + (peak - floor) * math.cos(math.pi * done),
            ),
            *in_forms(
                "floor-left-out",
                "your cosine goes from peak - floor to 0. Add the floor: floor + (peak - floor) * ...",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: (peak - floor) * 0.5 * (1 + math.cos(math.pi * done)),
            ),
            *in_forms(
                "floor-as-a-share",
                "you take the floor for a share of the peak. It is a rate itself: floor + (peak - floor) * ...",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: peak * half_cosine(done, 1.0, floor),
            ),
            *in_forms(
                "brackets",
                "half of the range is left, and the cosine is added to it with a height of 1. Brackets round 1 + cos: 0.5 * (1 + math.cos(math.pi * done)).",
                3,
                forms=FORMS,
                fall=lambda done, peak, floor: floor + (peak - floor) * 0.5 + math.cos(math.pi * done),
            ),
            *in_forms(
                "brackets",
                "your warm-up adds 1 / warmup_steps to peak * step. Put brackets round step + 1: peak * (step + 1) / warmup_steps.",
                1,
                rise=lambda step, W, peak, floor: peak * step + 1 / W,
            ),
            *in_forms(
                "without-peak",
                "your result goes from 1 to 0, whatever peak and floor are. The rise goes to peak, and the cosine from peak to floor: floor + (peak - floor) * ...",
                1,
                forms=("guarded", "bare"),
                rise=lambda step, W, peak, floor: (step + 1) / W,
                fall=lambda done, peak, floor: half_cosine(done, 1.0, 0.0),
            ),
            *in_forms(
                "line",
                "you fall along a straight line. It should be half a cosine: slow at first, fastest in the middle, slow at the end.",
                3,
                fall=lambda done, peak, floor: max(floor, peak * (1 - done)),
            ),
            *in_forms(
                "ends-at-0",
                "your rate is 0 from total_steps on. It should stay at the floor.",
                2,
                fall=lambda done, peak, floor: half_cosine(done, peak, floor) if done < 1 else 0.0,
            ),
            *in_forms(
                "ends-at-0",
                "your rate is 0 after total_steps. It should stay at the floor.",
                2,
                done=lambda step, W, N, rest: (step - W) / rest,
                fall=lambda done, peak, floor: half_cosine(done, peak, floor) if done <= 1 else 0.0,
            ),
        ],
        styles=[rate_by_loop_free_torch, rate_by_cases, rate_by_sine, rate_by_halves],
    ),
    Exercise(
        number="8.6",
        name="accumulate_gradients",
        level=2,
        minutes=10,
        done="a batch of any size fits into any memory.",
        hints=(
            "Clear the gradients once, before the loop. backward adds to what is there.",
            "The mean over k equal parts is the sum of their means divided by k. Divide the loss before backward.",
            "for x, y in zip(inputs.chunk(micro_batches), targets.chunk(micro_batches)): the loss of the part, divided by "
            "micro_batches; backward; add its .item() to the total.",
        ),
        cases=accumulate_cases,
        run=run_accumulate,
        arguments=("micro_batches", "B", "T"),
        mistakes=[
            Mistake(
                "R06",
                make_accumulate(divisor=undivided),
                "your gradient is as many times too large as there are micro-batches. Divide each loss by micro_batches before backward.",
                2,
            ),
            Mistake(
                "R05",
                make_accumulate(clear="never"),
                "the gradients of the last update are still in there. Clear them before the first micro-batch.",
                1,
            ),
            Mistake(
                "clears-each",
                make_accumulate(clear="each"),
                "only the gradient of the last micro-batch is left, as if it were cleared or overwritten in the loop. Clear once, before the loop; backward adds.",
                1,
            ),
            *[
                Mistake(
                    "clears-last",
                    make_accumulate(clear=clear),
                    "no gradients are left in the model, as if they were cleared after backward. Clear before the loop, and leave in .grad what backward puts there.",
                    1,
                )
                for clear in ("last", "zeros last")
            ],
            Mistake(
                "loss-sum",
                make_accumulate(report=lambda losses, micro_batches, batch: sum(losses)),
                "the gradients are right, but you return the sum of the losses. Return the mean over the whole batch.",
                3,
            ),
            Mistake(
                "first-only",
                make_accumulate(
                    parts=lambda inputs, targets, micro_batches: [*in_chunks(inputs, targets, micro_batches)][
                        :1
                    ]
                ),
                "only the first micro-batch is used. Go through all of them.",
                3,
            ),
            Mistake(
                "at-once",
                accumulate_at_once,
                "the gradient is right, but the whole batch goes through the model at once, and that is what does not fit into memory. Go through the micro_batches parts one by one.",
                3,
            ),
            Mistake(
                "backward-last",
                accumulate_backward_last,
                "you call backward once, at the end, so the activations of all parts lie in memory together. Call it for each part: it adds to what is there.",
                2,
            ),
            Mistake(
                "steps",
                accumulate_steps,
                "you update the weights as well. Leave that to the optimizer: here only the gradients are collected.",
                1,
            ),
            Mistake(
                "size-for-number",
                accumulate_by_size,
                "split wants the size of a part, and micro_batches is their number. Use chunk.",
                3,
            ),
            Mistake(
                "along-text",
                accumulate_rows,
                "you cut the texts into shorter ones. Cut along the batch, the first dimension.",
                3,
            ),
            Mistake(
                "keeps-old-gradients",
                make_accumulate(clear="never", divisor=undivided),
                "two slips: old gradients stay in, and each part's loss is not divided. Clear once at the start, and divide by micro_batches.",
                1,
            ),
            Mistake(
                "last-loss",
                make_accumulate(report=lambda losses, micro_batches, batch: losses[-1] / micro_batches),
                "you return the loss of the last part. Return the mean over all of them.",
                3,
            ),
            Mistake(
                "R06",
                make_accumulate(divisor=undivided, report=lambda losses, micro_batches, batch: sum(losses)),
                "your gradient and your loss are as many times too large as there are micro-batches. Divide each loss by micro_batches before backward.",
                2,
            ),
            Mistake(
                "keeps-old-gradients",
                make_accumulate(
                    clear="never", divisor=undivided, report=lambda losses, micro_batches, batch: sum(losses)
                ),
                "two slips: old gradients stay in, and each part's loss is not divided. Clear once at the start, and divide by micro_batches.",
                1,
            ),
            Mistake(
                "last-loss",
                make_accumulate(report=lambda losses, micro_batches, batch: losses[-1]),
                "you return the loss of the last part. Return the mean over all of them.",
                3,
            ),
            Mistake(
                "loss-divided-twice",
                make_accumulate(report=lambda losses, micro_batches, batch: sum(losses) / micro_batches**2),
                "the gradients are right, but the loss that you return is divided by micro_batches twice. Add up the divided losses, and leave it at that.",
                3,
            ),
            Mistake(
                "divides-by-texts",
                make_accumulate(
                    divisor=lambda micro_batches, part, batch: batch,
                    report=lambda losses, micro_batches, batch: sum(losses) / batch,
                ),
                "you divide by the number of texts. Each loss is a mean already: divide it by the number of parts, micro_batches.",
                2,
            ),
            Mistake(
                "divides-by-texts",
                make_accumulate(
                    divisor=lambda micro_batches, part, batch: part,
                    report=lambda losses, micro_batches, batch: sum(losses) * micro_batches / batch,
                ),
                "you divide by the number of texts in the part. Each loss is a mean already: divide it by the number of parts, micro_batches.",
                2,
            ),
            Mistake(
                "no-backward",
                make_accumulate(backward=False),
                "there are no gradients in the model. Call backward in the loop, on each part's loss itself and not on a number made of it.",
                2,
            ),
            Mistake(
                "no-return",
                make_accumulate(report=lambda losses, micro_batches, batch: None),
                "the gradients are right, but you return nothing. Return the mean loss of the whole batch.",
                3,
            ),
            Mistake(
                "along-text",
                make_accumulate(
                    parts=lambda inputs, targets, micro_batches: zip(
                        inputs.chunk(micro_batches, dim=1), targets.chunk(micro_batches, dim=1)
                    )
                ),
                "you cut the texts into shorter ones. Cut along the batch, the first dimension.",
                3,
            ),
            Mistake(
                "size-for-number",
                make_accumulate(
                    parts=lambda inputs, targets, micro_batches: zip(
                        inputs.split(micro_batches), targets.split(micro_batches)
                    )
                ),
                "your parts have micro_batches texts each, and micro_batches is the number of parts. Use chunk.",
                3,
            ),
            Mistake(
                "size-for-number",
                make_accumulate(parts=in_slices(lambda i, size, B: slice(i * size, (i + 1) * size))),
                "your parts have micro_batches texts each, and micro_batches is the number of parts. A part has len(inputs) // micro_batches texts; chunk cuts it for you.",
                3,
            ),
            Mistake(
                "one-text-each",
                make_accumulate(parts=in_slices(lambda i, size, B: slice(i, i + 1))),
                "each part of yours is one text, so most of the batch is never read. A part has len(inputs) // micro_batches texts; chunk cuts it for you.",
                3,
            ),
            Mistake(
                "backward-last",
                accumulate_undivided_last,
                "you call backward once, at the end, and on the sum of the losses. Call it for each part, on its loss divided by micro_batches: it adds to what is there.",
                2,
            ),
            Mistake(
                "one-text-each",
                accumulate_each_text,
                "each pass of yours reads one text. Cut the batch into micro_batches parts: inputs.chunk(micro_batches).",
                3,
            ),
            Mistake(
                "no-return",
                make_accumulate(divisor=undivided, report=lambda losses, micro_batches, batch: None),
                "you return nothing, and your gradient is as many times too large as there are micro-batches. Divide each loss by micro_batches before backward, and return their sum.",
                3,
            ),
        ],
        styles=[accumulate_sums, accumulate_scaled, accumulate_autograd],
    ),
]
for exercise in EXERCISES:
    for mistake in exercise.mistakes:
        mistake.wrong.__name__ = exercise.name  # what a learner's would be called
