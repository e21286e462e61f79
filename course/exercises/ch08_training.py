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


def loss_sums(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")


def loss_keeps_positions(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)


def loss_shifts_again(logits, targets):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())


def loss_in_bits(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / math.log(2)


def loss_of_probabilities(logits, targets):
    return F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten())


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


# --- 8.2 sample_batch --------------------------------------------------------------------------------


def batch_cases():
    """Rows of numbers that occur once each, so that one tells its place; the last has one possible start."""
    return [
        (7 * torch.arange(1, 1 + N) % 101, size, T) for N, size, T in [(20, 3, 5), (14, 200, 5), (7, 4, 6)]
    ]


def run_batch(answer, tokens, batch_size, context):
    """Return what must hold of a random batch, however it was drawn."""
    torch.manual_seed(1)
    inputs, targets = answer(tokens, batch_size, context, torch.Generator().manual_seed(0))
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


def bits_by_log2e(nats_per_token, n_tokens, n_bytes):
    return math.log2(math.e) * nats_per_token * n_tokens / n_bytes


def bits_by_power(nats_per_token, n_tokens, n_bytes):
    return math.log2(math.exp(nats_per_token)) / (n_bytes / n_tokens)


def bits_by_steps(nats_per_token, n_tokens, n_bytes):
    total_nats = nats_per_token * n_tokens
    total_bits = total_nats / math.log(2)
    return torch.tensor(total_bits / n_bytes, dtype=torch.float64)


# --- 8.4 decay_groups --------------------------------------------------------------------------------


class Sample(nn.Module):
    """A model with every kind of parameter: matrices, gains, biases, a frozen and a shared one."""

    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(7, 4)
        self.ln_1 = nn.LayerNorm(4)
        self.c_fc = nn.Linear(4, 5)
        self.conv = nn.Conv1d(2, 3, 2)  # its weight has three dimensions
        self.frozen = nn.Linear(4, 3, bias=False).requires_grad_(False)
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
    groups = answer(model, weight_decay)
    return [
        {
            "weight_decay": group["weight_decay"],
            "params": "used up after one reading"
            if iter(group["params"]) is group["params"]
            else sorted(
                repr(p) if isinstance(p, str) else names.get(id(p), "a copy") for p in group["params"]
            ),
        }
        for group in groups
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


# --- 8.5 learning_rate -------------------------------------------------------------------------------


def rate_cases():
    """Steps along a run of 110 with 10 of warm-up; then without warm-up; then beyond the end."""
    cases = [(step, 1.0, 110, 10, 0.1) for step in (0, 4, 9, 10, 35, 60, 109, 110, 111, 160, 210, 500)]
    return (
        cases
        + [(step, 0.006, 40, 0, 0.0) for step in (0, 10, 40, 41)]
        + [(step, 2.0, 5, 5, 0.5) for step in (4, 6)]
    )


def run_rate(answer, step, peak, total_steps, warmup_steps, floor):
    return answer(step, peak=peak, total_steps=total_steps, warmup_steps=warmup_steps, floor=floor)


def make_rate(start=1, clamp=True, over="rest", curve="cosine", floors=True, warm=True, ends=False):
    """Return a schedule with the asked-for slips in it."""

    def schedule(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
        if ends and step >= max(total_steps, warmup_steps):
            return floor
        if warm and step < warmup_steps:
            return peak * (step + start) / warmup_steps
        begin = 0 if over == "all" else warmup_steps
        length = total_steps - warmup_steps if over == "rest" else total_steps
        done = (step - begin) / max(1, length)
        if clamp:
            done = min(1.0, done)
        low = floor if floors else 0.0
        if curve == "line":
            return peak + (low - peak) * done
        if curve == "no pi":
            return low + (peak - low) * 0.5 * (1 + math.cos(done))
        if curve == "rises":
            return low + (peak - low) * 0.5 * (1 - math.cos(math.pi * done))
        if curve == "full":
            return low + (peak - low) * 0.5 * (1 + math.cos(2 * math.pi * done))
        if curve == "quarter":
            return low + (peak - low) * math.cos(math.pi / 2 * done)
        if curve == "no half":
            return low + (peak - low) * (1 + math.cos(math.pi * done))
        if curve == "added":
            return low + peak * 0.5 * (1 + math.cos(math.pi * done))
        return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * done))

    return schedule


def with_either_end(name, says, hint, **slips):
    """Return a mistake twice: with the end clamped, and with a case of its own for the end."""
    return [Mistake(name, make_rate(**slips, ends=ends), says, hint) for ends in (False, True)]


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


def make_accumulate(clear="first", divide=True, report="divided", parts="all"):
    """Return an answer with the asked-for slips in it."""

    def accumulate(model, inputs, targets, micro_batches):
        if clear == "first":
            model.zero_grad()
        total = 0.0
        pieces = list(zip(inputs.chunk(micro_batches), targets.chunk(micro_batches)))
        for x, y in pieces[:1] if parts == "one" else pieces:
            if clear == "each":
                model.zero_grad()
            loss = loss_of(model, x, y)
            (loss / micro_batches if divide else loss).backward()
            part = loss.item() / (micro_batches if report != "sum" else 1)
            total = part if report == "last" else total + part
        if clear == "last":
            model.zero_grad()
            for parameter in model.parameters():
                parameter.grad = torch.zeros_like(parameter)
        return total

    return accumulate


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


def batch_one_short(tokens, batch_size, context, generator=None):
    places = starts_of(tokens, batch_size, context, generator, ends=1) + torch.arange(context + 1)
    return tokens[places][:, :-1], tokens[places][:, 1:]


def batch_rolled(tokens, batch_size, context, generator=None):
    inputs = tokens[starts_of(tokens, batch_size, context, generator) + torch.arange(context)]
    return inputs, inputs.roll(-1, dims=1)


def groups_in_one(model, weight_decay):
    return [{"params": list(wanted(model)), "weight_decay": weight_decay}]


def groups_of_names(model, weight_decay):
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return make_groups([n for n, p in named if p.ndim > 1], [n for n, p in named if p.ndim < 2], weight_decay)


def groups_bare(model, weight_decay):
    return [p for p in wanted(model) if p.ndim > 1], [p for p in wanted(model) if p.ndim < 2]


def groups_without_decay(model, weight_decay):
    decays, rest = groups_bare(model, weight_decay)
    return [{"params": decays}, {"params": rest, "weight_decay": 0.0}]


def rate_may_divide_by_zero(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


def rate_cut_off(step, *, peak, total_steps, warmup_steps=0, floor=0.0):
    rate = make_rate()(step, peak=peak, total_steps=total_steps, warmup_steps=warmup_steps)
    return rate if step < warmup_steps else max(floor, rate)


def rate_rises_from_floor(step, *, warmup_steps=0, floor=0.0, **settings):
    rate = make_rate()(step, warmup_steps=warmup_steps, floor=floor, **settings)
    return floor + (settings["peak"] - floor) * (step + 1) / warmup_steps if step < warmup_steps else rate


def rate_warms_too_long(step, *, warmup_steps=0, **settings):
    rate = make_rate()(step, warmup_steps=warmup_steps, **settings)
    return settings["peak"] * (step + 1) / warmup_steps if step == warmup_steps > 0 else rate


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
        ],
        styles=[loss_by_logsumexp, loss_by_nll, loss_by_loops, loss_by_one_hot],
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
        ],
        styles=[batch_by_stack, batch_by_unfold, batch_by_rand],
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
            Mistake(
                "rounded",
                lambda nats_per_token, n_tokens, n_bytes: round(
                    nats_per_token * n_tokens / n_bytes / math.log(2), 4
                ),
                "you round the result. Return all its digits; who prints it may round.",
                3,
            ),
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
        ],
        styles=[bits_by_log2e, bits_by_power, bits_by_steps],
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
                "your groups hold copies. The optimizer has to get the model's own parameters, or the model stays as it is.",
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
        ],
        styles=[groups_by_loop, groups_by_modules, groups_by_filter],
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
            Mistake(
                "R08-zero",
                make_rate(start=0),
                "your first step has a rate of 0, so it changes nothing. Use step + 1 in the warm-up.",
                1,
            ),
            Mistake(
                "R08-unclamped",
                make_rate(clamp=False),
                "past total_steps your cosine rises again. Clamp how far along it is to 1, so that the rate stays at the floor.",
                2,
            ),
            Mistake(
                "whole-run",
                make_rate(over="all"),
                "your cosine is measured from step 0, so the rate drops where the warm-up ends. It begins where the warm-up ends.",
                2,
            ),
            Mistake(
                "line",
                make_rate(curve="line"),
                "you fall along a straight line. It should be half a cosine: slow at first, fastest in the middle, slow at the end.",
                3,
            ),
            *with_either_end(
                "full-cosine",
                "you run through a whole cosine, down and up again. Half of it: cos from 0 to pi.",
                3,
                curve="full",
            ),
            Mistake(
                "quarter",
                make_rate(curve="quarter"),
                "you use a quarter of a cosine, which ends steeply. Use (1 + cos(pi * done)) / 2, which is flat at both ends.",
                3,
            ),
            *with_either_end(
                "no-pi",
                "your cosine goes from 0 to 1 radian only. Half a cosine is cos from 0 to pi: math.cos(math.pi * done).",
                3,
                curve="no pi",
            ),
            *with_either_end(
                "rises",
                "1 - cos rises from 0 to 2, so your rate goes up after the warm-up. 1 + cos falls from 2 to 0.",
                3,
                curve="rises",
            ),
            *with_either_end(
                "of-the-whole-run",
                "you divide by total_steps, so the cosine is not through at the end. It takes total_steps - warmup_steps.",
                2,
                over="total",
            ),
            Mistake(
                "no-half",
                make_rate(curve="no half"),
                "1 + cos goes from 2 to 0, so your rate starts at about twice the peak. Halve it.",
                3,
            ),
            Mistake(
                "floor-added",
                make_rate(curve="added"),
                "you add the floor on top, so the rate goes above the peak. Stretch the cosine over peak - floor.",
                3,
            ),
            Mistake(
                "no-floor", make_rate(floors=False), "your rate ends at 0. It should end at the floor.", 3
            ),
            Mistake(
                "no-warmup",
                make_rate(warm=False),
                "there is no warm-up. For step < warmup_steps the rate rises in a straight line.",
                1,
            ),
            Mistake(
                "unclamped-length",
                rate_may_divide_by_zero,
                "after total_steps your cosine goes on and rises again, and with total_steps equal to warmup_steps it divides by 0. Return the floor from total_steps on.",
                3,
            ),
            Mistake(
                "floor-as-a-minimum",
                rate_cut_off,
                "you let the cosine go to 0 and cut it off at the floor. It should be half a cosine from peak to floor: floor + (peak - floor) * ...",
                3,
            ),
            Mistake(
                "warmup-from-floor",
                rate_rises_from_floor,
                "your rise begins at the floor. It begins near 0: peak * (step + 1) / warmup_steps.",
                2,
            ),
            Mistake(
                "warmup-too-long",
                rate_warms_too_long,
                "your rise is one step too long and goes above the peak. It ends at step warmup_steps - 1: step < warmup_steps.",
                2,
            ),
        ],
        styles=[rate_by_loop_free_torch, rate_by_cases, rate_by_sine],
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
                make_accumulate(divide=False),
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
                "you clear the gradients in the loop, so only the last micro-batch counts. Clear once, before it.",
                1,
            ),
            Mistake(
                "clears-last",
                make_accumulate(clear="last"),
                "you clear the gradients at the end, so nothing is left for the update. Clear before the loop.",
                1,
            ),
            Mistake(
                "loss-sum",
                make_accumulate(report="sum"),
                "the gradients are right, but you return the sum of the losses. Return the mean over the whole batch.",
                3,
            ),
            Mistake(
                "first-only",
                make_accumulate(parts="one"),
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
                make_accumulate(clear="never", divide=False),
                "two slips: old gradients stay in, and each part's loss is not divided. Clear once at the start, and divide by micro_batches.",
                1,
            ),
            Mistake(
                "last-loss",
                make_accumulate(report="last"),
                "you return the loss of the last part. Return the mean over all of them.",
                3,
            ),
        ],
        styles=[accumulate_sums, accumulate_scaled, accumulate_autograd],
    ),
]
for exercise in EXERCISES:
    for mistake in exercise.mistakes:
        mistake.wrong.__name__ = exercise.name  # what a learner's would be called
