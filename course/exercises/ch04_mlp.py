"""The exercises of chapter 04: GELU, the MLP, its parameters and its neurons."""

import math
import zlib
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise import Exercise, Mistake
from gpt2lib.config import GPT2Config


def drawn(*shape, seed, scale=1.0):
    """Return normal numbers that are the same every time."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bend(x):
    """Return GPT-2's GELU, without asking the notebook or the library."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def quick(x):
    return x * torch.sigmoid(1.702 * x)


# 4.1 and 4.2: the two forms of GELU


def numbers():
    """Small numbers, the places where the forms differ most, large ones, a batch."""
    return [
        (torch.tensor([-1.0, 0.0, 2.0]),),
        (torch.tensor([-2.7, -2.27, -0.752, 0.3, 2.5]),),
        (torch.linspace(-12, 12, 49),),
        (drawn(2, 3, 5, seed=41, scale=2.0),),
    ]


FACTOR = math.sqrt(2 / math.pi)


def inner(x):
    return FACTOR * (x + 0.044715 * x**3)


def relu(x):
    return x.clamp(min=0)


def exact(x):
    return F.gelu(x)


def silu(x):
    return x * torch.sigmoid(x)


def tanh_without_half(x):
    return x * (1 + torch.tanh(inner(x)))


def tanh_without_one(x):
    return 0.5 * x * torch.tanh(inner(x))


def tanh_without_x(x):
    return 0.5 * (1 + torch.tanh(inner(x)))


def tanh_of_square(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))


def tanh_without_cube(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x))


def tanh_cube_outside(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * x + 0.044715 * x**3))


def tanh_root_of_two_only(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2) / math.pi * (x + 0.044715 * x**3)))


def tanh_without_root(x):
    return 0.5 * x * (1 + torch.tanh(2 / math.pi * (x + 0.044715 * x**3)))


def tanh_upside_down(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(math.pi / 2) * (x + 0.044715 * x**3)))


def tanh_cubes_the_sum(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + (0.044715 * x) ** 3)))


def tanh_with(factor=FACTOR, of_cube=0.044715):
    """Return the tanh form with other numbers in it."""

    def gelu(x):
        return 0.5 * x * (1 + torch.tanh(factor * (x + of_cube * x**3)))

    return gelu


def tanh_fused(x):
    return F.gelu(x, approximate="tanh")


def tanh_as_sigmoid(x):
    """(1 + tanh z) / 2 is sigmoid(2 z): the same function."""
    return x * torch.sigmoid(2 * inner(x))


def tanh_in_double(x):
    z = x.double()
    cube = torch.pow(z, 3)
    gate = 1 + ((z + cube * 0.044715) * (2 / math.pi) ** 0.5).tanh()
    return (z * gate / 2).to(x.dtype)


def tanh_by_loops(x):
    out = torch.empty_like(x)
    for i, v in enumerate(x.flatten().tolist()):
        out.view(-1)[i] = v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v * v * v)))
    return out


def erf_without_root(x):
    return 0.5 * x * (1 + torch.erf(x))


def erf_times_root(x):
    return 0.5 * x * (1 + torch.erf(x * math.sqrt(2)))


def erf_halved(x):
    return 0.5 * x * (1 + torch.erf(x / 2))


def erf_without_half(x):
    return x * (1 + torch.erf(x / math.sqrt(2)))


def erf_without_one(x):
    return 0.5 * x * torch.erf(x / math.sqrt(2))


def erf_share_only(x):
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def erf_density(x):
    return x * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def erf_share_above(x):
    return 0.5 * x * (1 - torch.erf(x / math.sqrt(2)))


def erf_by_ndtr(x):
    return x * torch.special.ndtr(x)


def erf_by_distribution(x):
    return x * torch.distributions.Normal(0.0, 1.0).cdf(x)


def erf_by_complement(x):
    return x * torch.erfc(-x * math.sqrt(0.5)) / 2


def erf_by_loops(x):
    values = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.flatten().tolist()]
    return torch.tensor(values).reshape(x.shape)


# 4.3: the module

WEIGHTS = ("c_fc.weight", "c_fc.bias", "c_proj.weight", "c_proj.bias")


def run_mlp(answer, n_embd, x):
    """Build the MLP, fill its weights by name and run it; raise ValueError if they are not as they should "
    "be."""
    C, N = n_embd, 4 * n_embd
    want = dict(sorted(zip(WEIGHTS, ((N, C), (N,), (C, N), (C,)))))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        mlp = answer(GPT2Config(vocab_size=11, n_positions=7, n_embd=n_embd, n_layer=1, n_head=1))
        have = {name: tuple(parameter.shape) for name, parameter in sorted(mlp.named_parameters())}
        if have != want:
            raise ValueError(f"its parameters are {have}, but the checkpoint has {want}")
        with torch.no_grad():
            for name, parameter in mlp.named_parameters():
                parameter.copy_(drawn(*parameter.shape, seed=zlib.crc32(name.encode())))
            torch.manual_seed(5)
            return mlp(x)


def mlp_cases():
    """Two tokens of width 2; a batch of two texts, wider; one token."""
    return [
        (2, torch.tensor([[[1.0, -0.5], [0.2, 2.0]]])),
        (5, drawn(2, 3, 5, seed=43)),
        (6, drawn(3, 1, 6, seed=44, scale=0.3)),
    ]


class TwoLayers(nn.Module):
    """The scaffold of the answers: what differs is the sizes, the bend, or what surrounds them."""

    times, bias = 4, True
    bend = staticmethod(bend)

    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.c_fc = nn.Linear(C, self.times * C, bias=self.bias)
        self.c_proj = nn.Linear(self.times * C, C, bias=self.bias)

    def forward(self, x):
        return self.c_proj(self.bend(self.c_fc(x)))


class WithReLU(TwoLayers):
    bend = staticmethod(relu)


class WithoutBend(TwoLayers):
    bend = staticmethod(lambda x: x)


class WithExactGELU(TwoLayers):
    bend = staticmethod(exact)


class WithSigmoidForm(TwoLayers):
    bend = staticmethod(quick)


class WithTanh(TwoLayers):
    bend = staticmethod(torch.tanh)


class WithSiLU(TwoLayers):
    bend = staticmethod(silu)


class NotWider(TwoLayers):
    times = 1


class ThreeTimes(TwoLayers):
    times = 3


class WithoutBiases(TwoLayers):
    bias = False


class SwappedSizes(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        C = config.n_embd
        self.c_fc, self.c_proj = nn.Linear(4 * C, C), nn.Linear(C, 4 * C)


class NotTurned(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        self.c_proj = nn.Linear(config.n_embd, 4 * config.n_embd)


class FixedSizes(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        self.c_fc, self.c_proj = nn.Linear(768, 3072), nn.Linear(3072, 768)


def adding_input(scaffold):
    class AddsInput(scaffold):
        def forward(self, x):
            return x + super().forward(x)

    return AddsInput


class BendsTwice(TwoLayers):
    def forward(self, x):
        return bend(super().forward(x))


def bending_output(f):
    class BendsOutput(TwoLayers):
        def forward(self, x):
            return f(self.c_proj(self.c_fc(x)))

    return BendsOutput


class BendsInput(TwoLayers):
    def forward(self, x):
        return self.c_proj(self.c_fc(bend(x)))


class StopsInTheMiddle(TwoLayers):
    def forward(self, x):
        return bend(self.c_fc(x))


class DropsOut(TwoLayers):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.1, self.training)


def with_names(first, last):
    class OtherNames(nn.Module):
        def __init__(self, config):
            super().__init__()
            self.add_module(first, nn.Linear(config.n_embd, 4 * config.n_embd))
            self.add_module(last, nn.Linear(4 * config.n_embd, config.n_embd))

    return OtherNames


class InSequential(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.net = nn.Sequential(nn.Linear(C, 4 * C), nn.GELU(approximate="tanh"), nn.Linear(4 * C, C))


class WithModule(TwoLayers):
    """The bend as a module of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.act = nn.GELU(approximate="tanh")

    def forward(self, x):
        x = self.c_fc(x)
        x = self.act(x)
        return self.c_proj(x)


class ByEinsum(TwoLayers):
    def forward(self, x):
        hidden = torch.einsum("btc,nc->btn", x, self.c_fc.weight) + self.c_fc.bias
        return torch.einsum("btn,cn->btc", tanh_as_sigmoid(hidden), self.c_proj.weight) + self.c_proj.bias


class TokenByToken(TwoLayers):
    def forward(self, x):
        out = torch.empty_like(x)
        for b in range(x.shape[0]):
            for t in range(x.shape[1]):
                out[b, t] = self.c_proj(F.gelu(self.c_fc(x[b, t]), approximate="tanh"))
        return out


class InDouble(TwoLayers):
    def forward(self, x):
        x, (fc, proj) = x.double(), (self.c_fc, self.c_proj)
        hidden = tanh_fused(F.linear(x, fc.weight.double(), fc.bias.double()))
        return F.linear(hidden, proj.weight.double(), proj.bias.double()).float()


# 4.4: counting


def widths():
    return [(2,), (5,), (768,), (1600,)]


def count(attention, mlp, layer_norms):
    """Return an answer that counts with these three functions of the width C."""

    def block_parameters(n_embd):
        return {"attention": attention(n_embd), "mlp": mlp(n_embd), "layer_norms": layer_norms(n_embd)}

    return block_parameters


def in_attention(C):
    return 4 * C * C + 4 * C


def in_mlp(C):
    return 8 * C * C + 5 * C


def in_norms(C):
    return 4 * C


def count_with_modules(n_embd):
    def size(*layers):
        return sum(p.numel() for layer in layers for p in layer.parameters())

    C = n_embd
    with torch.device("meta"):
        return {
            "attention": size(nn.Linear(C, 3 * C), nn.Linear(C, C)),
            "mlp": size(nn.Linear(C, 4 * C), nn.Linear(4 * C, C)),
            "layer_norms": size(nn.LayerNorm(C), nn.LayerNorm(C)),
        }


def count_factored(n_embd):
    attention = sum((n_embd + 1) * out for out in [n_embd] * 4)
    mlp = (n_embd + 1) * (4 * n_embd) + (4 * n_embd + 1) * n_embd
    return dict(layer_norms=n_embd << 2, mlp=mlp, attention=attention)


def count_shapes(n_embd):
    shapes = {
        "attention": [(3 * n_embd, n_embd), (3 * n_embd,), (n_embd, n_embd), (n_embd,)],
        "mlp": [(4 * n_embd, n_embd), (4 * n_embd,), (n_embd, 4 * n_embd), (n_embd,)],
        "layer_norms": [(n_embd,)] * 4,
    }
    return {part: sum(math.prod(shape) for shape in own) for part, own in shapes.items()}


def count_shares(n_embd):
    C = n_embd
    total = in_attention(C) + in_mlp(C) + in_norms(C)
    return {
        "attention": in_attention(C) / total,
        "mlp": in_mlp(C) / total,
        "layer_norms": in_norms(C) / total,
    }


def count_with_total(n_embd):
    parts = count(in_attention, in_mlp, in_norms)(n_embd)
    return {**parts, "total": sum(parts.values())}


RIGHT_COUNTS = dict(attention=in_attention, mlp=in_mlp, layer_norms=in_norms)
COUNTING_SLIPS = {
    "attention": [
        (
            "no-biases",
            lambda C: 4 * C * C,
            "in attention you count the matrices without the biases: 3 * n_embd in c_attn, n_embd in c_proj.",
            1,
        ),
        (
            "attention-bias",
            lambda C: 4 * C * C + 2 * C,
            "both your biases in attention have n_embd numbers: that of c_attn is as long as what c_attn "
            "returns, 3 * n_embd.",
            2,
        ),
        (
            "attention-bias",
            lambda C: 4 * C * C + 3 * C,
            "you count the bias of c_attn and not that of c_proj, which has n_embd numbers.",
            2,
        ),
        (
            "attention-bias",
            lambda C: 4 * C * C + C,
            "you count the bias of c_proj and not that of c_attn, which has 3 * n_embd numbers.",
            2,
        ),
        (
            "A16",
            lambda C: 3 * C * C + 3 * C,
            "you count c_attn but not c_proj in attention, with n_embd * n_embd weights and n_embd biases.",
            2,
        ),
        (
            "A16",
            lambda C: 3 * C * C,
            "you count the matrix of c_attn alone in attention: c_proj and the biases are missing.",
            2,
        ),
        (
            "one-of-three",
            lambda C: 2 * C * C + 2 * C,
            "you count c_attn as n_embd to n_embd: it makes q, k and v at once, so it goes from n_embd to "
            "3 * n_embd.",
            2,
        ),
        (
            "projection-too-wide",
            lambda C: 6 * C * C + 4 * C,
            "you count c_proj in attention as 3 * n_embd to n_embd: what comes to it are the mixed values, "
            "n_embd numbers.",
            2,
        ),
        (
            "times-heads",
            lambda C: 12 * (3 * C * C + 3 * C) + C * C + C,
            "you count q, k and v in full for each of 12 heads: the heads share one c_attn, and each takes "
            "a slice of it.",
            2,
        ),
    ],
    "mlp": [
        (
            "no-biases",
            lambda C: 8 * C * C,
            "in the MLP you count the matrices without the biases: 4 * n_embd in c_fc, n_embd in c_proj.",
            1,
        ),
        (
            "hidden-bias",
            lambda C: 8 * C * C + 2 * C,
            "both biases of your MLP have n_embd numbers: that of c_fc is as long as what c_fc returns, "
            "4 * n_embd.",
            2,
        ),
        (
            "output-bias",
            lambda C: 8 * C * C + 8 * C,
            "both biases of your MLP have 4 * n_embd numbers: that of c_proj is as long as what c_proj "
            "returns, n_embd.",
            2,
        ),
        (
            "one-bias",
            lambda C: 8 * C * C + 4 * C,
            "in the MLP you count the bias of c_fc and not that of c_proj, which has n_embd numbers.",
            2,
        ),
        (
            "one-bias",
            lambda C: 8 * C * C + C,
            "in the MLP you count the bias of c_proj and not that of c_fc, which has 4 * n_embd numbers.",
            2,
        ),
        (
            "one-way",
            lambda C: 4 * C * C + 4 * C,
            "you count c_fc but not c_proj in the MLP: the way back has 4 * n_embd * n_embd weights too.",
            2,
        ),
        (
            "one-way",
            lambda C: 4 * C * C + 5 * C,
            "you count one matrix of 4 * n_embd * n_embd weights in the MLP: there are two of them, in "
            "c_fc and in c_proj.",
            2,
        ),
        (
            "mlp-not-wider",
            lambda C: 2 * C * C + 2 * C,
            "your MLP is as wide inside as outside: it goes from n_embd to 4 * n_embd and back.",
            2,
        ),
    ],
    "layer_norms": [
        (
            "half-the-norms",
            lambda C: 2 * C,
            "you count 2 * n_embd for the LayerNorms: there are two of them, and each has a gain and a bias.",
            3,
        ),
        (
            "half-the-norms",
            lambda C: C,
            "you count n_embd for the LayerNorms: there are two of them, and each has a gain and a bias.",
            3,
        ),
        (
            "norms-forgotten",
            lambda C: 0,
            "you count nothing for the LayerNorms: there are two, each with a gain and a bias of n_embd "
            "numbers.",
            3,
        ),
        (
            "norms-as-numbers",
            lambda C: 4,
            "you count one gain and one bias for each LayerNorm: it has n_embd of each, one for every "
            "channel.",
            3,
        ),
        (
            "last-norm-too",
            lambda C: 6 * C,
            "you count three LayerNorms: a block has two, and the last one of the model stands after all "
            "blocks.",
            3,
        ),
    ],
}


# 4.5: neuron by neuron


def neuron_cases():
    """Three neurons of width 2; an MLP of width 4; one with fewer neurons than numbers."""
    return [
        (
            torch.tensor([1.0, -2.0]),
            torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]),
            torch.tensor([0.0, 0.5, -1.0]),
            torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]]),
        ),
        (drawn(4, seed=45), drawn(16, 4, seed=46), drawn(16, seed=47), drawn(4, 16, seed=48)),
        (drawn(6, seed=49), drawn(6, 6, seed=50), drawn(6, seed=51), drawn(6, 6, seed=52)),
        (drawn(7, seed=53), drawn(3, 7, seed=54), drawn(3, seed=55), drawn(7, 3, seed=56)),
    ]


def neurons_with(f, bias=True, rows=lambda weight: weight.T):
    """Return an answer with another bend f, without the bias, or with other rows of c_proj_weight."""

    def neuron_contributions(x, c_fc_weight, c_fc_bias, c_proj_weight):
        strengths = f(c_fc_weight @ x + (c_fc_bias if bias else 0))
        return strengths[:, None] * rows(c_proj_weight)

    return neuron_contributions


def reshaped(weight):
    return weight.reshape(weight.shape[1], weight.shape[0])


def neurons_on_their_side(f, bias=True):
    def neuron_contributions(*arguments):
        return neurons_with(f, bias)(*arguments).T

    return neuron_contributions


def neurons_bias_outside(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return bend(c_fc_weight @ x)[:, None] * c_proj_weight.T + c_fc_bias[:, None]


def neurons_bias_for_each_product(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return bend((c_fc_weight * x + c_fc_bias[:, None]).sum(1))[:, None] * c_proj_weight.T


def neurons_bias_late(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return (bend(c_fc_weight @ x) + c_fc_bias)[:, None] * c_proj_weight.T


def neurons_keys_for_values(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return bend(c_fc_weight @ x + c_fc_bias)[:, None] * c_fc_weight


def neurons_summed(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return c_proj_weight @ bend(c_fc_weight @ x + c_fc_bias)


def neurons_strengths(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return bend(c_fc_weight @ x + c_fc_bias)


def neurons_values(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return c_proj_weight.T.clone()


def neurons_bent_late(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return bend((c_fc_weight @ x + c_fc_bias)[:, None] * c_proj_weight.T)


def neurons_by_columns(x, c_fc_weight, c_fc_bias, c_proj_weight):
    return bend(c_fc_weight @ x + c_fc_bias)[:, None] * c_proj_weight


def neurons_by_einsum(x, c_fc_weight, c_fc_bias, c_proj_weight):
    strengths = tanh_fused(torch.einsum("nc,c->n", c_fc_weight, x) + c_fc_bias)
    return torch.einsum("n,cn->nc", strengths, c_proj_weight)


def neurons_by_loops(x, c_fc_weight, c_fc_bias, c_proj_weight):
    rows = []
    for i in range(len(c_fc_bias)):
        strength = bend(torch.dot(c_fc_weight[i], x) + c_fc_bias[i])
        rows.append(strength * c_proj_weight[:, i])
    return torch.stack(rows)


def neurons_by_diagonal(x, c_fc_weight, c_fc_bias, c_proj_weight):
    strengths = tanh_as_sigmoid(F.linear(x, c_fc_weight, c_fc_bias))
    return (c_proj_weight @ strengths.diag()).mT


def neurons_in_double(x, c_fc_weight, c_fc_bias, c_proj_weight):
    strengths = bend((c_fc_weight.double() * x.double()).sum(1) + c_fc_bias.double())
    return (strengths.unsqueeze(1) * c_proj_weight.double().t()).float()


RELU_SAYS = (
    "this is ReLU: every negative number becomes 0. GELU lets a little of it through; at -1 it gives -0.1588."
)
SIGMOID_SAYS = (
    "this is the sigmoid form, x * sigmoid(1.702 x), which is off by up to 0.02. GPT-2 was trained with "
    "the tanh form."
)


OTHER_BENDS = [
    (exact, "your bend is the exact GELU"),
    (relu, "your bend is ReLU"),
    (lambda z: z, "your strengths are not bent"),
]


class WithoutFirstBias(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)


class WithoutLastBias(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)


class Twice(TwoLayers):
    times = 2


class ForgetsFirst(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        del self.c_fc


class ForgetsLast(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        del self.c_proj


class ForgetsBoth(nn.Module):
    def __init__(self, config):
        super().__init__()


class ProjectsNarrow(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)


class WithNorm(TwoLayers):
    def __init__(self, config):
        super().__init__(config)
        self.ln = nn.LayerNorm(config.n_embd)


class BareMatrices(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Parameter(torch.zeros(4 * config.n_embd, config.n_embd))
        self.c_proj = nn.Parameter(torch.zeros(config.n_embd, 4 * config.n_embd))


class ThrowsAway(TwoLayers):
    def forward(self, x):
        return bend(x)


class NormInside(TwoLayers):
    def forward(self, x):
        return super().forward(F.layer_norm(x, x.shape[-1:]))


EXERCISES = [
    Exercise(
        number="4.1",
        name="gelu",
        differentiable=True,
        level=1,
        minutes=6,
        done="you have the bend that GPT-2's weights were trained with, to the last digit.",
        hints=(
            "Work from the inside out: first x + 0.044715 x³, then the factor, then tanh, then the rest.",
            "The factor is the root of the whole fraction 2/pi: math.sqrt(2 / math.pi), about 0.798. "
            "tanh of a tensor is torch.tanh.",
            "With z for what goes into tanh, the result is half of x times (1 + tanh z). Write z in one "
            "line and this in the next.",
        ),
        cases=numbers,
        tolerance=3e-6,
        mistakes=[
            Mistake(
                "N06",
                exact,
                "this is the exact GELU, which is also what F.gelu gives without an argument; it "
                "differs by up to 0.0005. GPT-2 uses the form with tanh.",
                2,
            ),
            Mistake("N07", relu, RELU_SAYS),
            Mistake("sigmoid-form", quick, SIGMOID_SAYS),
            Mistake(
                "silu",
                silu,
                "this is x * sigmoid(x), called SiLU or Swish, a relative of GELU. GPT-2 needs the "
                "formula with tanh.",
            ),
            Mistake(
                "no-half",
                tanh_without_half,
                "your results are twice as large as they should be. 1 + tanh goes from 0 to 2, so the "
                "formula halves it.",
                3,
            ),
            Mistake(
                "no-one",
                tanh_without_one,
                "you multiply by tanh alone, which is negative for negative x, so your result is never "
                "below 0. It should be 1 + tanh, which goes from 0 to 2.",
                3,
            ),
            Mistake(
                "no-x",
                tanh_without_x,
                "you return the share between 0 and 1 and not x times this share. Multiply by x as well.",
                3,
            ),
            Mistake(
                "square",
                tanh_of_square,
                "you have x squared where the formula has x to the third power. The square makes the "
                "two sides of 0 uneven.",
            ),
            Mistake(
                "no-cube",
                tanh_without_cube,
                "the term 0.044715 x³ is missing. Without it the form is off by up to 0.03.",
            ),
            Mistake(
                "cube-outside",
                tanh_cube_outside,
                "the root multiplies only x in your code. It should multiply the sum x + 0.044715 x³: "
                "mind the brackets.",
            ),
            Mistake(
                "cubed-factor",
                tanh_cubes_the_sum,
                "you take the third power of 0.044715 x, factor and all. Only x is cubed: x**3 first, then "
                "times 0.044715.",
            ),
            Mistake(
                "root-of-two-only",
                tanh_root_of_two_only,
                "your factor is sqrt(2) / pi, about 0.450. It should be the root of the whole fraction, "
                "sqrt(2 / pi), about 0.798.",
                2,
            ),
            Mistake(
                "no-root",
                tanh_without_root,
                "your factor is 2 / pi, about 0.637. It should be the root of that, about 0.798.",
                2,
            ),
            Mistake(
                "upside-down",
                tanh_upside_down,
                "your factor is sqrt(pi / 2), about 1.253. The fraction is the other way up: sqrt(2 / "
                "pi), about 0.798.",
                2,
            ),
            *(
                Mistake(
                    "missing-bracket",
                    wrong,
                    "* goes before +, so your tanh is added and not multiplied. Put brackets around the "
                    "sum: x / 2 times (1 + tanh).",
                    3,
                )
                for wrong in (
                    lambda x: 0.5 * x * 1 + torch.tanh(inner(x)),
                    lambda x: 0.5 * (x + torch.tanh(inner(x))),
                    lambda x: 0.5 * x + (1 + torch.tanh(inner(x))),
                )
            ),
            Mistake(
                "one-inside",
                lambda x: 0.5 * x * torch.tanh(1 + inner(x)),
                "your 1 stands inside the tanh. Add it to the result of tanh: 1 + tanh(...).",
                3,
            ),
            *(
                Mistake(
                    "digit-lost",
                    tanh_with(of_cube=number),
                    f"your factor of the cube is {number}: a digit is wrong or missing. It should be "
                    "0.044715.",
                    1,
                )
                for number in (0.44715, 0.0044715, 0.04715, 0.047715, 0.04475, 0.04415)
            ),
            *(
                Mistake(
                    "rounded",
                    tanh_with(of_cube=number),
                    f"you have rounded the factor of the cube to {number}. GPT-2 takes 0.044715: write all "
                    "its digits.",
                    1,
                )
                for number in (0.04, 0.044, 0.045, 0.0447)
            ),
            *(
                Mistake(
                    "rounded",
                    tanh_with(number),
                    f"your factor of the sum is {number}, which is rounded too far. Let Python compute it: "
                    "math.sqrt(2 / math.pi).",
                    2,
                )
                for number in (0.8, 0.79, 0.797, 0.798, 0.7979)
            ),
            *(
                Mistake(
                    "other-root",
                    tanh_with(number),
                    f"your factor is {term}, about {number:.3f}. It should be the root of the whole "
                    "fraction, sqrt(2 / pi), about 0.798.",
                    2,
                )
                for term, number in (
                    ("sqrt(2 * pi)", math.sqrt(2 * math.pi)),
                    ("2 / sqrt(pi)", 2 / math.sqrt(math.pi)),
                )
            ),
            Mistake(
                "no-factor",
                tanh_with(1.0),
                "the factor in front of the sum is missing. It is the root of 2 / pi, about 0.798.",
                2,
            ),
            Mistake(
                "no-power",
                lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x))),
                "you have 0.044715 x without the third power. Write x**3.",
                1,
            ),
            Mistake(
                "cubed-sum",
                lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x) ** 3)),
                "you take the third power of the whole sum. Only the x next to 0.044715 is cubed.",
                1,
            ),
            Mistake(
                "half-the-factor",
                tanh_with(FACTOR / 2),
                "what goes into your tanh is half of what it should be: the factor is sqrt(2 / pi), about "
                "0.798, not 1 / sqrt(2 * pi), about 0.399. If you took sigmoid for (1 + tanh) / 2, it "
                "needs sigmoid(2z).",
                2,
            ),
            Mistake(
                "plain-tanh",
                torch.tanh,
                'this is tanh itself. "The tanh form" is GELU written with tanh: half of x times (1 + tanh '
                "of something).",
                3,
            ),
            Mistake(
                "minus",
                lambda x: 0.5 * x * (1 - torch.tanh(inner(x))),
                "with 1 - tanh large numbers vanish and negative ones pass. It should be 1 + tanh.",
                3,
            ),
        ],
        styles=[tanh_fused, tanh_as_sigmoid, tanh_in_double, tanh_by_loops],
    ),
    Exercise(
        number="4.2",
        name="gelu_exact",
        level=1,
        minutes=6,
        done="you have the form that torch takes by default, to compare GPT-2's with.",
        hints=(
            "First the share Phi(x), between 0 and 1, from torch.erf. Then x times that share.",
            "At x = 0 erf is 0 and the share one half. At large x erf is 1 and the share 1. What do you "
            "do to erf to get from the first pair to the second?",
            "The argument of erf is x divided by math.sqrt(2). Add 1 to erf, halve it, and multiply by x.",
        ),
        cases=numbers,
        mistakes=[
            Mistake(
                "tanh-form",
                bend,
                "this is the tanh form, as in 4.1. Here the exact one is asked for, with erf.",
                1,
            ),
            Mistake(
                "no-root",
                erf_without_root,
                "you take erf of x itself. It should be erf of x divided by the root of 2.",
                3,
            ),
            Mistake(
                "times-root",
                erf_times_root,
                "you multiply x by the root of 2 before erf. It should be divided.",
                3,
            ),
            Mistake(
                "halved",
                erf_halved,
                "you divide x by 2 before erf. It should be divided by the root of 2, about 1.414.",
                3,
            ),
            Mistake(
                "no-half",
                erf_without_half,
                "your results are twice as large as they should be. 1 + erf goes from 0 to 2; halve it "
                "to get a share.",
                2,
            ),
            Mistake(
                "no-one",
                erf_without_one,
                "you multiply by half of erf alone, which is negative for negative x. Add 1 before you "
                "halve: the share lies between 0 and 1.",
                2,
            ),
            Mistake(
                "no-x",
                erf_share_only,
                "this is the share Phi(x) itself. GELU is x times this share.",
                1,
            ),
            Mistake(
                "density",
                erf_density,
                "you multiply x by the height of the bell curve at x. It should be the share of the draws "
                "below x: the area to the left, not the height.",
                1,
            ),
            Mistake(
                "share-above",
                erf_share_above,
                "you multiply x by the share of draws above x, so large numbers vanish and negative "
                "ones pass. It should be the share below: 1 + erf, not 1 - erf.",
                2,
            ),
            Mistake("N07", relu, RELU_SAYS),
            Mistake(
                "sigmoid-form",
                quick,
                SIGMOID_SAYS.replace("GPT-2 was trained with the tanh", "Use erf for the exact"),
            ),
            Mistake(
                "silu",
                silu,
                "this is x * sigmoid(x), called SiLU or Swish, a relative of GELU. The share is to come from "
                "erf.",
                1,
            ),
            *(
                Mistake(
                    "missing-bracket",
                    wrong,
                    "* goes before +, so your erf is added and not multiplied. Put brackets around the "
                    "sum: x / 2 times (1 + erf).",
                    3,
                )
                for wrong in (
                    lambda x: 0.5 * x * 1 + torch.erf(x / math.sqrt(2)),
                    lambda x: 0.5 * (x + torch.erf(x / math.sqrt(2))),
                )
            ),
            Mistake(
                "root-outside",
                lambda x: 0.5 * x * (1 + torch.erf(x) / math.sqrt(2)),
                "you divide the result of erf by the root of 2. It is x that should be divided, inside erf.",
                3,
            ),
            Mistake(
                "root-of-two-pi",
                lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2 * math.pi))),
                "you divide x by the root of 2 pi. It should be the root of 2 alone.",
                3,
            ),
            *(
                Mistake(
                    "rounded",
                    lambda x, root=root: 0.5 * x * (1 + torch.erf(x / root)),
                    f"you divide x by {root}, which is rounded too far. Let Python compute the root: "
                    "math.sqrt(2).",
                    3,
                )
                for root in (1.4, 1.41, 1.414)
            ),
            Mistake(
                "no-one",
                lambda x: x * torch.erf(x / math.sqrt(2)),
                "you multiply by erf alone, which is negative for negative x. Add 1 and halve: the share "
                "lies between 0 and 1.",
                2,
            ),
            Mistake(
                "no-x",
                lambda x: 1 + torch.erf(x / math.sqrt(2)),
                "you return 1 + erf. Half of it is the share, and GELU is x times this share.",
                1,
            ),
            Mistake(
                "erfc-for-erf",
                lambda x: 0.5 * x * (1 + torch.erfc(x / math.sqrt(2))),
                "you take erfc, which is 1 - erf. It should be torch.erf.",
                1,
            ),
            Mistake(
                "tanh-for-erf",
                lambda x: 0.5 * x * (1 + torch.tanh(x / math.sqrt(2))),
                "you take tanh of x divided by the root of 2. Here it is erf of that: torch.erf.",
                1,
            ),
            *(
                Mistake(
                    "forms-mixed",
                    wrong,
                    "you mix the two forms. The cube belongs to the tanh form; erf takes x divided by the "
                    "root of 2 alone.",
                    3,
                )
                for wrong in (
                    lambda x: 0.5 * x * (1 + torch.erf((x + 0.044715 * x**3) / math.sqrt(2))),
                    lambda x: 0.5 * x * (1 + torch.erf(inner(x))),
                )
            ),
        ],
        styles=[erf_by_ndtr, erf_by_distribution, erf_by_complement, erf_by_loops, exact],
    ),
    Exercise(
        number="4.3",
        name="MLP",
        tolerance=1e-4,  # three products one after the other: processors differ by 1e-5
        level=2,
        minutes=12,
        done="you have the part that holds two thirds of a block's weights; chapter 05 puts it to work.",
        hints=(
            "Two nn.Linear layers: self.c_fc takes config.n_embd numbers and returns four times as many, "
            "self.c_proj takes those and returns config.n_embd.",
            "forward has three steps: c_fc, the bend, c_proj. nn.Linear works on the last dimension, so "
            "(B, T, C) goes in as it is.",
            'The bend is your gelu from 4.1, or F.gelu with approximate="tanh". It stands between the '
            "layers and nowhere else; what c_proj returns is the result.",
        ),
        cases=mlp_cases,
        run=run_mlp,
        arguments=("n_embd", "x"),
        mistakes=[
            Mistake(
                "N06",
                WithExactGELU,
                "your bend is the exact GELU, which F.gelu and nn.GELU take by default. GPT-2's is the "
                'tanh form: your gelu, or approximate="tanh".',
                3,
            ),
            Mistake(
                "N07",
                WithReLU,
                "your bend is ReLU. GPT-2's is GELU in the tanh form; use your gelu from 4.1.",
                3,
            ),
            Mistake(
                "no-bend",
                WithoutBend,
                "nothing stands between your two layers, so they are worth one layer. Put gelu between them.",
                2,
            ),
            Mistake("sigmoid-form", WithSigmoidForm, SIGMOID_SAYS, 3),
            Mistake(
                "silu",
                WithSiLU,
                "your bend is x * sigmoid(x), called SiLU or Swish. GPT-2's is GELU in the tanh form; use "
                "your gelu from 4.1.",
                3,
            ),
            Mistake(
                "plain-tanh",
                WithTanh,
                'your bend is tanh itself. "The tanh form" is GELU written with tanh: use your gelu '
                "from 4.1.",
                3,
            ),
            Mistake(
                "not-wider",
                NotWider,
                "your hidden layer is as wide as the input. It should be four times as wide.",
                1,
            ),
            Mistake(
                "three-times",
                ThreeTimes,
                "your hidden layer is three times as wide as the input, like c_attn in chapter 03, "
                "which makes q, k and v. Here it should be four times.",
                1,
            ),
            Mistake(
                "no-bias",
                WithoutBiases,
                "your layers have no biases. GPT-2's have; leave bias=False out.",
                1,
            ),
            Mistake(
                "swapped-sizes",
                SwappedSizes,
                "the sizes of your layers are swapped: c_fc should go from n_embd to 4 * n_embd, and "
                "c_proj back. nn.Linear takes the input's size first, then the output's.",
                1,
            ),
            Mistake(
                "not-turned",
                NotTurned,
                "both your layers go from n_embd to 4 * n_embd. c_proj should bring the neurons back: from "
                "4 * n_embd to n_embd.",
                1,
            ),
            Mistake(
                "fixed-sizes",
                FixedSizes,
                "your layers are 768 and 3072 wide whatever the config says. Take the width from "
                "config.n_embd.",
                1,
            ),
            Mistake(
                "adds-input",
                adding_input(TwoLayers),
                "your forward adds x to the result. That sum is the block's job (chapter 05); the MLP "
                "returns only what is to be added.",
                3,
            ),
            *(
                Mistake(
                    "adds-input",
                    adding_input(scaffold),
                    "your forward adds x to the result, which is the block's job (chapter 05). Besides, "
                    f"{rest}",
                    3,
                )
                for scaffold, rest in (
                    (WithExactGELU, "your bend is the exact GELU and not the tanh form."),
                    (WithReLU, "your bend is ReLU and not GELU."),
                    (WithoutBend, "nothing stands between the two layers: put gelu there."),
                )
            ),
            Mistake(
                "bends-twice",
                BendsTwice,
                "you bend after c_proj too. The bend stands between the layers only, so that the result "
                "can be as negative as it likes.",
                3,
            ),
            Mistake(
                "bends-output",
                bending_output(bend),
                "your bend comes after c_proj, so the two layers in front of it are worth one. It "
                "should stand between c_fc and c_proj.",
                2,
            ),
            *(
                Mistake(
                    "bends-output",
                    bending_output(f),
                    "your bend comes after c_proj, so the two layers in front of it are worth one. It should "
                    f"stand between c_fc and c_proj, and be GPT-2's GELU, not {name}.",
                    2,
                )
                for f, name in ((exact, "the exact one"), (relu, "ReLU"))
            ),
            Mistake(
                "bends-input",
                BendsInput,
                "your bend comes before c_fc, so the two layers behind it are worth one. It should stand "
                "between c_fc and c_proj.",
                2,
            ),
            Mistake(
                "no-projection",
                StopsInTheMiddle,
                "you return the 4 * n_embd neurons. c_proj has to bring them back to n_embd.",
                2,
            ),
            Mistake(
                "dropout",
                DropsOut,
                "your result has dropout in it: some numbers are 0 at random. Our MLP has none; the "
                "same input gives the same output.",
                3,
            ),
            *(
                Mistake(
                    "other-names",
                    wrong,
                    "your layers have other names. Call them c_fc and c_proj, as the published checkpoint "
                    "does, or its weights will not find them.",
                    1,
                )
                for wrong in (
                    with_names("fc1", "fc2"),
                    with_names("fc", "proj"),
                    with_names("linear1", "linear2"),
                    with_names("c_fc1", "c_fc2"),
                )
            ),
            Mistake(
                "other-names",
                InSequential,
                "your layers are parts of a Sequential, and so their weights are called net.0 and net.2. "
                "Assign them to self.c_fc and self.c_proj, as the published checkpoint calls them.",
                1,
            ),
            Mistake(
                "one-bias", WithoutFirstBias, "your c_fc has no bias. GPT-2's has; leave bias=False out.", 1
            ),
            Mistake(
                "one-bias", WithoutLastBias, "your c_proj has no bias. GPT-2's has; leave bias=False out.", 1
            ),
            Mistake(
                "twice",
                Twice,
                "your hidden layer is twice as wide as the input. It should be four times as wide.",
                1,
            ),
            Mistake(
                "without-self",
                ForgetsFirst,
                "your module has no c_fc. Make that layer, and assign it to self: self.c_fc = "
                "nn.Linear(...).",
                1,
            ),
            Mistake(
                "without-self",
                ForgetsLast,
                "your module has no c_proj. Make that layer, and assign it to self: self.c_proj = "
                "nn.Linear(...).",
                1,
            ),
            Mistake(
                "without-self",
                ForgetsBoth,
                "your module has no weights. A layer belongs to the module only if it is assigned to self: "
                "self.c_fc = nn.Linear(...).",
                1,
            ),
            Mistake(
                "narrow-projection",
                ProjectsNarrow,
                "your c_proj takes n_embd numbers, but c_fc returns four times as many. It should go from "
                "4 * n_embd to n_embd.",
                1,
            ),
            Mistake(
                "one-too-many",
                WithNorm,
                "there is a third layer with weights, a LayerNorm. It belongs to the block (chapter 05): "
                "the MLP has c_fc and c_proj alone.",
                1,
            ),
            Mistake(
                "bare-matrices",
                BareMatrices,
                "your c_fc and c_proj are bare matrices. Make them nn.Linear, which has weight and bias "
                "under these names.",
                1,
            ),
            Mistake(
                "thrown-away",
                ThrowsAway,
                "your result is gelu(x): no layer has a part in it. Give the result of each step a name, "
                "and hand it to the next step.",
                2,
            ),
            Mistake(
                "norm-inside",
                NormInside,
                "you normalize x first. That is the block's work (chapter 05): the MLP takes x as it comes.",
                2,
            ),
        ],
        styles=[TwoLayers, WithModule, ByEinsum, TokenByToken, InDouble],
    ),
    Exercise(
        number="4.4",
        name="block_parameters",
        level=2,
        minutes=10,
        done="you can say where the weights of a block are: a third in attention, two thirds in the MLP.",
        hints=(
            "A linear layer from a to b numbers has a * b weights and b biases. There are two in "
            "attention and two in the MLP.",
            "Attention: C to 3C, then C to C. MLP: C to 4C, then 4C to C. The bias is as long as what "
            "comes out of the layer.",
            "With n_embd = 2 attention has (2 * 6 + 6) + (2 * 2 + 2) = 24. Do the same for the MLP and "
            "compare with 42. Two LayerNorms have a gain and a bias each, of C numbers.",
        ),
        cases=widths,
        tolerance=0.0,
        mistakes=[
            Mistake(
                "no-biases",
                count(lambda C: 4 * C * C, lambda C: 8 * C * C, in_norms),
                "you count the matrices of the linear layers without their biases. Every linear layer "
                "of GPT-2 has one, as long as its output.",
                1,
            ),
            *(
                Mistake(name, count(**{**RIGHT_COUNTS, part: formula}), says, hint)
                for part, slips in COUNTING_SLIPS.items()
                for name, formula, says, hint in slips
            ),
            *(
                Mistake(
                    name,
                    count(**{**RIGHT_COUNTS, part: formula, other: second}),
                    f"{says} Besides, {rest}",
                    2,
                )
                for part, other in combinations(COUNTING_SLIPS, 2)
                for name, formula, says, _ in COUNTING_SLIPS[part]
                for _, second, rest, _ in COUNTING_SLIPS[other]
            ),
            Mistake(
                "no-biases",
                count(lambda C: 4 * C * C, lambda C: 8 * C * C, lambda C: 2 * C),
                "you count no bias anywhere. Every linear layer has one, as long as its output, and so has "
                "every LayerNorm.",
                1,
            ),
            Mistake(
                "parts-exchanged",
                count(in_mlp, in_attention, in_norms),
                "attention and MLP have changed places. Attention is the smaller part.",
                2,
            ),
            *(
                Mistake(
                    "other-keys",
                    lambda n_embd, keys=keys: dict(
                        zip(keys, (in_attention(n_embd), in_mlp(n_embd), in_norms(n_embd)))
                    ),
                    'your numbers are right, but under other keys. The keys are "attention", "mlp" and '
                    '"layer_norms".',
                    1,
                )
                for keys in (
                    ("attention", "mlp", "layer_norm"),
                    ("attention", "MLP", "layer_norms"),
                    ("attn", "mlp", "ln"),
                    ("attn", "mlp", "layer_norms"),
                )
            ),
            Mistake(
                "total-too",
                count_with_total,
                "your dict has the total in it as well. Return the three parts; the next cell adds them up.",
                1,
            ),
            Mistake(
                "all-layers",
                count(lambda C: 12 * in_attention(C), lambda C: 12 * in_mlp(C), lambda C: 12 * in_norms(C)),
                "your numbers are 12 times too large: you count 12 blocks. Count one.",
                1,
            ),
            *(
                Mistake(
                    "always-one-width",
                    lambda n_embd, width=width: count(in_attention, in_mlp, in_norms)(width),
                    f"you count the block of width {width} whatever n_embd is. Use the argument.",
                    1,
                )
                for width in (2, 768)
            ),
            Mistake(
                "shares",
                count_shares,
                "you return shares. The counts themselves are asked for; the next cell makes shares of them.",
                1,
            ),
        ],
        styles=[count_with_modules, count_factored, count_shapes],
    ),
    Exercise(
        number="4.5",
        name="neuron_contributions",
        level=2,
        minutes=12,
        done="you can take an MLP apart into the answers of its neurons, and put it together again.",
        hints=(
            "First all strengths at once: c_fc_weight @ x has one number for each neuron. Add the bias, "
            "then bend with gelu.",
            "The value of neuron i is column i of c_proj_weight. Transposed, the columns become rows: "
            "(N, C).",
            "You need (N,) times (N, C), each number with its own row. Give the strengths a second "
            "dimension, [:, None], and broadcasting does the rest.",
        ),
        cases=neuron_cases,
        mistakes=[
            Mistake(
                "no-bend",
                neurons_with(lambda z: z),
                "your strengths are not bent: k·x + b goes straight to the value. Put gelu around it.",
                1,
            ),
            Mistake(
                "N06",
                neurons_with(exact),
                "your strengths use the exact GELU. Use your gelu, the tanh form.",
                1,
            ),
            Mistake("N07", neurons_with(relu), RELU_SAYS, 1),
            Mistake("sigmoid-form", neurons_with(quick), SIGMOID_SAYS, 1),
            Mistake(
                "no-bias",
                neurons_with(bend, bias=False),
                "you leave out c_fc_bias. It belongs inside the bend: gelu(k·x + b).",
                1,
            ),
            *(
                Mistake(
                    "no-bias",
                    neurons_with(f, bias=False),
                    f"you leave out c_fc_bias, and {rest}. A strength is gelu(k·x + b), with gelu in the "
                    "tanh form.",
                    1,
                )
                for f, rest in OTHER_BENDS
            ),
            Mistake(
                "bias-late",
                neurons_bias_late,
                "you add c_fc_bias after the bend. It belongs inside: gelu(k·x + b).",
                1,
            ),
            Mistake(
                "bias-late",
                neurons_bias_outside,
                "you add c_fc_bias to the contributions. It belongs inside the bend: gelu(k·x + b).",
                1,
            ),
            Mistake(
                "bias-many-times",
                neurons_bias_for_each_product,
                "you add c_fc_bias to each of the C products before you sum them up. Sum first, k·x, and "
                "add the bias once.",
                1,
            ),
            Mistake(
                "reshaped",
                neurons_with(bend, rows=reshaped),
                "you reshape c_proj_weight to (N, C), which cuts its rows into pieces and mixes the "
                "neurons. Transpose it: the columns become rows.",
                2,
            ),
            *(
                Mistake(
                    "reshaped",
                    neurons_with(f, rows=reshaped),
                    f"you reshape c_proj_weight to (N, C), which mixes the neurons, and {rest}. Transpose "
                    "the matrix, and bend the strengths with your gelu.",
                    2,
                )
                for f, rest in OTHER_BENDS
            ),
            Mistake(
                "rows-for-columns",
                neurons_by_columns,
                "you multiply the strengths with the rows of c_proj_weight, and it has one row for each "
                "output. A neuron's value is a column.",
                2,
            ),
            Mistake(
                "keys-for-values",
                neurons_keys_for_values,
                "you multiply each strength with the neuron's key, its row of c_fc_weight. What it adds is "
                "its value: column i of c_proj_weight.",
                2,
            ),
            Mistake(
                "transposed",
                neurons_on_their_side(bend),
                "your numbers are right but lie on their side: (C, N). Each row should belong to one "
                "neuron: (N, C).",
                2,
            ),
            *(
                Mistake(
                    "transposed",
                    neurons_on_their_side(f),
                    f"your result lies on its side, (C, N) and not (N, C), and {rest}. Make one row for each "
                    "neuron, and bend the strengths with your gelu.",
                    2,
                )
                for f, rest in OTHER_BENDS
            ),
            Mistake(
                "transposed",
                neurons_on_their_side(bend, bias=False),
                "your result lies on its side, (C, N) and not (N, C), and c_fc_bias is left out. Make one "
                "row for each neuron, with the strength gelu(k·x + b).",
                2,
            ),
            Mistake(
                "summed",
                neurons_summed,
                "you have added the neurons up already: this is the MLP's output without its bias. Keep "
                "one row for each neuron.",
                3,
            ),
            Mistake(
                "strengths",
                neurons_strengths,
                "these are the strengths, one number for each neuron. Multiply each with the neuron's value.",
                3,
            ),
            Mistake(
                "values",
                neurons_values,
                "these are the values as they stand in the weights, the same for every x. Multiply each "
                "with the strength of its neuron.",
                1,
            ),
            Mistake(
                "bent-late",
                neurons_bent_late,
                "you bend after multiplying with the value. The bend is for the strength alone: "
                "gelu(k·x + b), then times the value.",
                1,
            ),
        ],
        styles=[neurons_by_einsum, neurons_by_loops, neurons_by_diagonal, neurons_in_double],
    ),
]
