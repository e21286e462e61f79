"""The exercises of chapter 10: what a machine can do, weights in one byte, and guesses that are checked."""

import torch
from torch.nn import functional as F

from course.exercise import Exercise, Mistake


def noise(seed, *shape):
    """Random numbers that are the same on every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- 10.1 attainable


def attainable_cases():
    """Left of the corner of the roof, right of it, and other units."""
    return [
        (2.0, 100.0, 10.0),
        (50.0, 100.0, 10.0),
        (0.5, 3e11, 4e10),
        (256.0, 3e11, 4e10),
        (7.5, 3e11, 4e10),
    ]


def attainable_by_corner(intensity, flops, bandwidth):
    return flops if intensity >= flops / bandwidth else intensity * bandwidth


def attainable_by_time(intensity, flops, bandwidth):
    longest = max(1 / flops, 1 / (intensity * bandwidth))  # seconds for one operation
    return 1 / longest


def attainable_by_sorting(intensity, flops, bandwidth):
    return sorted([bandwidth * intensity, flops])[0]


ATTAINABLE = Exercise(
    number="10.1",
    name="attainable",
    level=1,
    minutes=5,
    done="you can draw the roof over every program that will ever run on a machine.",
    hints=(
        "In one second at most `bandwidth` bytes arrive. With `intensity` operations for each byte, how many "
        "operations can be done with them?",
        "There are two limits, and the computation must keep to both of them.",
        "The memory's limit is intensity * bandwidth, the arithmetic's is flops. Which of the two decides, "
        "the larger or the smaller?",
    ),
    cases=attainable_cases,
    mistakes=[
        Mistake(
            "larger-limit",
            lambda intensity, flops, bandwidth: max(flops, intensity * bandwidth),
            "you take the larger of the two limits. A computation has to keep to both, so the smaller one "
            "decides.",
            3,
        ),
        Mistake(
            "divides",
            lambda intensity, flops, bandwidth: min(flops, bandwidth / intensity),
            "you divide the bandwidth by the intensity. More operations for each byte mean more operations "
            "with the bytes that arrive, so multiply.",
            1,
        ),
        Mistake(
            "inverted",
            lambda intensity, flops, bandwidth: min(flops, intensity / bandwidth),
            "you divide the intensity by the bandwidth. Operations per byte times bytes per second gives "
            "operations per second.",
            1,
        ),
        Mistake(
            "memory-only",
            lambda intensity, flops, bandwidth: intensity * bandwidth,
            "you count the memory's limit only. With a high intensity the arithmetic is the limit: no more "
            "than flops.",
            2,
        ),
        Mistake(
            "arithmetic-only",
            lambda intensity, flops, bandwidth: flops,
            "you return flops whatever the intensity is. With a low one the bytes don't arrive fast enough "
            "to keep the arithmetic busy.",
            2,
        ),
        Mistake(
            "ignores-intensity",
            lambda intensity, flops, bandwidth: min(flops, bandwidth),
            "you compare operations per second with bytes per second. Multiply the bytes by the operations "
            "that each of them gets: the intensity.",
            1,
        ),
        Mistake(
            "adds-times",
            lambda intensity, flops, bandwidth: 1 / (1 / flops + 1 / (intensity * bandwidth)),
            "you add the time for fetching to the time for computing. The two go on at once, so the slower "
            "one decides alone.",
            2,
        ),
        Mistake(
            "corner",
            lambda intensity, flops, bandwidth: min(intensity, flops / bandwidth),
            "your result is in operations per byte. Multiply it by the bandwidth to get operations per "
            "second.",
            1,
        ),
    ],
    styles=[attainable_by_corner, attainable_by_time, attainable_by_sorting],
)


# --- 10.2 tokens_per_second


def tokens_cases():
    """The example, GPT-2 in three precisions, and half a byte for each weight."""
    return [
        (100_000_000, 2, 50_000_000, 10e9),
        (123_653_376, 4, 9_437_184, 40e9),
        (123_653_376, 1, 75_497_472, 40e9),
        (1_500_000_000, 0.5, 0, 900e9),
    ]


def tokens_by_seconds(weights, bytes_per_weight, cache_bytes, bandwidth):
    seconds = weights * bytes_per_weight / bandwidth + cache_bytes / bandwidth
    return 1 / seconds


def tokens_by_counting(weights, bytes_per_weight, cache_bytes, bandwidth):
    fetched = cache_bytes
    fetched += bytes_per_weight * weights
    return bandwidth * fetched**-1


def tokens_by_tensor(weights, bytes_per_weight, cache_bytes, bandwidth):
    fetched = torch.tensor([float(weights), float(cache_bytes)], dtype=torch.float64)
    return (bandwidth / fetched.dot(torch.tensor([float(bytes_per_weight), 1.0], dtype=torch.float64))).item()


TOKENS = Exercise(
    number="10.2",
    name="tokens_per_second",
    level=1,
    minutes=5,
    done="you can tell how fast a model can write on a computer that you have not bought yet.",
    hints=(
        "How many bytes does one step fetch? Weights and cache are both fetched once.",
        "The seconds for one step are its bytes divided by the bandwidth. How many steps fit into a second?",
        "bandwidth / (bytes of one step). The bytes of the weights are their number times bytes_per_weight; "
        "cache_bytes are bytes already.",
    ),
    cases=tokens_cases,
    mistakes=[
        Mistake(
            "seconds",
            lambda w, size, cache, band: (w * size + cache) / band,
            "you return the seconds for one token. Tokens per second is one divided by that.",
            2,
        ),
        Mistake(
            "no-cache",
            lambda w, size, cache, band: band / (w * size),
            "you leave out the cache. Its keys and values are fetched at every step, like the weights.",
            1,
        ),
        Mistake(
            "cache-scaled",
            lambda w, size, cache, band: band / ((w + cache) * size),
            "you multiply cache_bytes by bytes_per_weight. They are bytes already, not numbers.",
            3,
        ),
        Mistake(
            "no-size",
            lambda w, size, cache, band: band / (w + cache),
            "you count each weight as one byte. Multiply the weights by bytes_per_weight.",
            3,
        ),
        Mistake(
            "divides-size",
            lambda w, size, cache, band: band / (w / size + cache),
            "you divide the weights by bytes_per_weight. Twice the bytes for each weight are twice the bytes "
            "to fetch.",
            3,
        ),
        Mistake(
            "counts-operations",
            lambda w, size, cache, band: band / (2 * w * size + cache),
            "your weights count twice. A weight is used for two operations, but it is fetched once.",
            1,
        ),
        Mistake(
            "whole-tokens",
            lambda w, size, cache, band: band // (w * size + cache),
            "your result is cut off to a whole number. A rate may be 3.7 tokens a second: divide with /.",
            2,
        ),
        Mistake(
            "sum-of-rates",
            lambda w, size, cache, band: band / (w * size) + (band / cache if cache else 0),
            "you add the rate for the weights and the rate for the cache. A step needs both, so their bytes "
            "add up, not their rates.",
            2,
        ),
    ],
    styles=[tokens_by_seconds, tokens_by_counting, tokens_by_tensor],
)


# --- 10.3 quantize_rows


def quantize_cases():
    """The row of the text, rows of different sizes, a row of zeros, a weight in which rows are columns."""
    weight = noise(1, 5, 7) * torch.tensor([1.0, 10.0, 0.1, 3.0, 1e-3])[:, None]
    weight[2] = 0
    return [
        (torch.tensor([[0.5, -2.0, 0.0]]),),
        (torch.tensor([[1.0, -0.3, 0.26], [0.0, 0.0, 0.0]]),),
        (noise(2, 4, 6),),
        (weight,),
        (noise(3, 6, 6).T,),
    ]


def run_quantize(answer, weight):
    """Return both parts by name; the numbers must be int8."""
    numbers, scale = answer(weight)
    if numbers.dtype != torch.int8:
        raise TypeError(f"the numbers are {numbers.dtype}, but torch.int8 is wanted")
    return {"numbers": numbers, "scale": scale}


def quantizing(scale_of, numbers_of=lambda x: x.round(), dim=1):
    """An answer made of two steps; the parts that are not wrong are right."""

    def quantize(weight):
        scale = scale_of(weight)
        scale = torch.where(scale > 0, scale, 1.0)
        numbers = numbers_of(weight / scale.unsqueeze(dim)).clamp(-128, 127).to(torch.int8)
        return numbers, scale

    return quantize


def largest(weight):
    return weight.abs().amax(1) / 127


def quantize_by_loop(weight):
    numbers, scales = [], []
    for row in weight:
        unit = row.abs().max().item() / 127 or 1.0
        scales.append(unit)
        numbers.append([round(entry / unit) for entry in row.double().tolist()])
    return torch.tensor(numbers).to(torch.int8), torch.tensor(scales)


def quantize_by_norm(weight):
    scale = torch.linalg.vector_norm(weight, torch.inf, dim=-1) / 127
    scale[scale == 0] = 1
    return torch.round(weight / scale.unsqueeze(-1)).char(), scale


def quantize_by_extremes(weight):
    weight = weight.double()
    low, high = torch.aminmax(weight, dim=1)
    scale = torch.maximum(high, -low).div(127)
    scale.masked_fill_(scale == 0, 1.0)
    return (weight.T / scale).T.round().type(torch.int8), scale.float()


def forgets_zeros(weight):
    scale = largest(weight)
    return (weight / scale[:, None]).round().to(torch.int8), scale


def by_columns(weight):
    scale = weight.abs().amax(0) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale).round().to(torch.int8), scale


def one_scale(weight):
    scale = weight.abs().max() / 127
    return (weight / scale).round().to(torch.int8), scale.expand(len(weight))


def stays_float(weight):
    numbers, scale = quantize_by_norm(weight)
    return numbers.float(), scale


def returns_weights(weight):
    numbers, scale = quantize_by_norm(weight)
    return numbers * scale[:, None], scale


def swaps_results(weight):
    return quantize_by_norm(weight)[::-1]


def keeps_dim(weight):
    numbers, scale = quantize_by_norm(weight)
    return numbers, scale[:, None]


def inverse_scale(weight):
    numbers, scale = quantize_by_norm(weight)
    return numbers, 1 / scale


def multiplies(weight):
    scale = largest(weight)
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight * scale[:, None]).round().to(torch.int8), scale


def without_abs(weight):
    scale = weight.amax(1) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale[:, None]).round().clamp(-127, 127).to(torch.int8), scale


def scale_not_divided(weight):
    scale = weight.abs().amax(1)
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale[:, None]).round().to(torch.int8), scale


def safe_scale(weight, most=127):
    scale = weight.abs().amax(1) / most
    return torch.where(scale > 0, scale, 1.0)


QUANTIZE = Exercise(
    number="10.3",
    name="quantize_rows",
    level=2,
    minutes=10,
    done="a matrix takes a quarter of its bytes, and no entry is off by more than half a unit of its row.",
    hints=(
        "The largest absolute value of a row becomes 127 units. What is one unit worth, then? You need one "
        "for each row: a maximum along dim=1.",
        "Divide each row by its unit; scale[:, None] has the shape (N, 1), so it divides row by row. Round to "
        "the nearest whole number before you convert to int8: the conversion itself cuts off.",
        "scale = weight.abs().amax(dim=1) / 127; where it is 0, put 1, or 0 / 0 gives NaN. Then the rounded "
        "quotient as torch.int8, and the scale.",
    ),
    cases=quantize_cases,
    run=run_quantize,
    arguments=("weight",),
    mistakes=[
        Mistake(
            "cuts-off",
            quantizing(largest, torch.trunc),
            "your numbers are cut off towards 0 and not rounded. Converting to int8 cuts off; call round() "
            "first.",
            2,
        ),
        Mistake(
            "floor",
            quantizing(largest, torch.floor),
            "you round down. To be as close as possible round to the nearest.",
            2,
        ),
        Mistake(
            "columns",
            by_columns,
            "your scales belong to the columns: there is one for each of the K columns. A row of the weight "
            "makes one number of the result, so give each row its own.",
            1,
        ),
        Mistake(
            "one-scale",
            one_scale,
            "all rows have the same scale. A single large entry would then spoil every row; take the largest "
            "value of each row by itself.",
            1,
        ),
        Mistake(
            "without-abs",
            without_abs,
            "you take the largest value, not the largest absolute value. A row whose largest entry is "
            "negative then does not fit into -127 to 127.",
            1,
        ),
        Mistake(
            "divides-by-128",
            quantizing(lambda w: w.abs().amax(1) / 128),
            "you divide by 128. int8 reaches 127 on the positive side, so the largest entry would not fit.",
            1,
        ),
        Mistake(
            "divides-by-255",
            quantizing(lambda w: w.abs().amax(1) / 255),
            "you divide by 255, as for numbers from 0 to 255. From -127 to 127 half of the range is for each "
            "sign.",
            1,
        ),
        Mistake(
            "not-divided",
            scale_not_divided,
            "your scale is the largest value itself, so all numbers lie between -1 and 1 and nearly all are "
            "0. One unit is the largest value divided by 127.",
            1,
        ),
        Mistake(
            "zero-row",
            forgets_zeros,
            "a row of zeros has the scale 0, and 0 / 0 is not a number. Give such a row the scale 1.",
            3,
        ),
        Mistake(
            "multiplies",
            multiplies,
            "you multiply by the scale. To count how many units an entry holds, divide by the unit.",
            2,
        ),
        Mistake(
            "inverse",
            inverse_scale,
            "you return 1 / scale. numbers * scale[:, None] is to give the weight back.",
            1,
        ),
        Mistake(
            "kept-dimension",
            keeps_dim,
            "your scale has the shape (N, 1). Return (N,): leave out keepdim, and use scale[:, None] where "
            "you divide.",
            2,
        ),
        Mistake(
            "spread",
            quantizing(lambda w: 3 * w.std(1) / 127),
            "your unit comes from the standard deviation, so the largest entries don't fit. Take the largest "
            "absolute value of the row.",
            1,
        ),
        Mistake(
            "one-scale-alone",
            lambda weight: (
                (weight / (weight.abs().max() / 127)).round().to(torch.int8),
                weight.abs().max() / 127,
            ),
            "you have one scale for all rows. Take the largest of each row, amax(dim=1), and return (N,) scales.",
            1,
        ),
        Mistake(
            "lined-up-with-columns",
            lambda weight: (
                (weight / (weight.abs().amax(1) / 127)).round().to(torch.int8),
                weight.abs().amax(1) / 127,
            ),
            "the scales (N,) line up with the columns. Give them an axis: scale[:, None].",
            2,
        ),
        Mistake(
            "not-int8",
            lambda weight: ((weight / safe_scale(weight)[:, None]).round(), safe_scale(weight)),
            "your numbers are whole, but still floats. Return them as int8: to(torch.int8).",
            3,
        ),
        Mistake(
            "divides-by-128",
            lambda weight: (
                (weight / safe_scale(weight, 128)[:, None]).round().to(torch.int8),
                safe_scale(weight, 128),
            ),
            "with 128 the largest entry becomes 128, and int8 ends at 127: it comes out as -128. Divide by 127.",
            2,
        ),
    ],
    styles=[quantize_by_loop, quantize_by_norm, quantize_by_extremes],
    tolerance=1e-6,
)


# --- 10.4 quantized_linear


def linear_cases():
    """Three numbers by hand, a matrix that is not square, one as large each way, bfloat16."""
    numbers = (40 * noise(7, 4, 5)).round().clamp(-127, 127).to(torch.int8)
    square = (50 * noise(8, 6, 6)).round().clamp(-127, 127).to(torch.int8)
    small = (2 * noise(9, 5, 8)).round().clamp(-5, 5).to(torch.int8)
    return [
        (
            torch.tensor([[1.0, 2.0, 0.0]]),
            torch.tensor([[3, -1, 100], [0, 4, -100]], dtype=torch.int8),
            torch.tensor([0.5, 0.25]),
            torch.tensor([10.0, 20.0]),
        ),
        (noise(10, 3, 5), numbers, noise(11, 4).abs() / 50, noise(12, 4)),
        (noise(13, 6, 6), square, noise(14, 6).abs() / 50, noise(15, 6)),
        (  # sums of small whole numbers are exact in bfloat16
            (2 * noise(16, 5, 8)).round().clamp(-4, 4).bfloat16(),
            small,
            noise(17, 5).abs() / 50,
            noise(18, 5),
        ),
    ]


def multiplying(of=None, after=None):
    """An answer made of two steps, the product and what is done with it; one that is not given is right."""
    of = of or (lambda x, numbers, scale: x @ numbers.to(x.dtype).T)
    after = after or (lambda y, scale, bias: y * scale + bias)
    return lambda x, numbers, scale, bias: after(of(x, numbers, scale), scale, bias)


def linear_by_einsum(x, numbers, scale, bias):
    return torch.einsum("mk,nk->mn", x, numbers.to(x.dtype)) * scale + bias


def linear_by_loop(x, numbers, scale, bias):
    columns = [bias[n] + scale[n] * (x @ row.to(x.dtype)).float() for n, row in enumerate(numbers)]
    return torch.stack(columns, dim=1)


def linear_in_float32(x, numbers, scale, bias):
    return torch.addmm(bias, x.float(), numbers.float().T * scale)


def linear_from_the_left(x, numbers, scale, bias):
    return (scale[:, None] * (numbers.double() @ x.double().T) + bias[:, None]).T.float()


def linear_and_bias_in_units(x, numbers, scale, bias):
    return (F.linear(x, numbers.type_as(x)) + bias / scale) * scale


def weights_in_the_dtype_of_x(x, numbers, scale, bias):
    weight = (numbers * scale[:, None]).to(x.dtype)
    return (x @ weight.T).float() + bias


QUANTIZED_LINEAR = Exercise(
    number="10.4",
    name="quantized_linear",
    level=2,
    minutes=10,
    done="the weights stay in one byte each, and only the results are scaled.",
    hints=(
        "Row n of the numbers makes column n of the result. How often does scale[n] occur in one entry of "
        "that column, and can it stand in front of the sum?",
        "x and the numbers must have the same dtype for a product: numbers.to(x.dtype). Whole numbers up to "
        "127 are exact in every float dtype.",
        "First the product of x with the transposed numbers, (M, N). Then times scale, one for each column, "
        "and then plus bias, in this order.",
    ),
    cases=linear_cases,
    mistakes=[
        Mistake(
            "no-scale",
            multiplying(after=lambda y, scale, bias: y.float() + bias),
            "the scale is missing. The numbers are in units; scale says what a unit of each row is worth.",
            1,
        ),
        Mistake(
            "no-bias",
            multiplying(after=lambda y, scale, bias: y * scale),
            "the bias is missing. It is added to each row of the result.",
            3,
        ),
        Mistake(
            "scaled-bias",
            multiplying(after=lambda y, scale, bias: (y + bias) * scale),
            "the bias was scaled too. It is not in units: add it after the product has been scaled.",
            3,
        ),
        Mistake(
            "scaled-bias-in-the-product",
            lambda x, numbers, scale, bias: F.linear(x, numbers.to(x.dtype), bias.to(x.dtype)) * scale,
            "F.linear has added the bias before the scaling, so it was scaled too. It is not in units: add it "
            "after the product has been scaled.",
            3,
        ),
        Mistake(
            "bias-subtracted",
            multiplying(after=lambda y, scale, bias: y * scale - bias),
            "the bias was subtracted. A linear layer adds it.",
            3,
        ),
        Mistake(
            "divides",
            multiplying(after=lambda y, scale, bias: y / scale + bias),
            "you divide by the scale. Quantizing divided by it, so this is the place to multiply.",
            1,
        ),
        Mistake(
            "scale-of-tokens",
            multiplying(after=lambda y, scale, bias: y * scale[: len(y), None] + bias),
            "your scale runs along the rows of the result, which are tokens. It belongs to the rows of the "
            "matrix, and these are the columns of the result: y * scale, without a new dimension.",
            1,
        ),
        Mistake(
            "bias-of-tokens",
            multiplying(after=lambda y, scale, bias: y * scale + bias[: len(y), None]),
            "your bias runs along the rows of the result, which are tokens. It has one number for each column.",
            3,
        ),
        Mistake(
            "scaled-inputs",
            multiplying(
                of=lambda x, numbers, scale: (x * scale) @ numbers.to(x.dtype).T,
                after=lambda y, scale, bias: y + bias,
            ),
            "your scale runs along the K inputs. It belongs to the rows of the numbers, so it comes after "
            "the product.",
            1,
        ),
        Mistake(
            "not-transposed",
            multiplying(of=lambda x, numbers, scale: x @ numbers.to(x.dtype)),
            "the numbers are not transposed. They are (N, K), one row for each result, as in nn.Linear: "
            "multiply with numbers.T.",
            3,
        ),
        Mistake(
            "in-int8",
            multiplying(of=lambda x, numbers, scale: (x.to(torch.int8) @ numbers.T).float()),
            "you multiply in int8. That cuts off the digits of x, and a sum above 127 starts again at -128. "
            "Turn the numbers into the dtype of x.",
            2,
        ),
        Mistake(
            "in-integers",
            multiplying(of=lambda x, numbers, scale: (x.int() @ numbers.int().T).float()),
            "you multiply whole numbers, so the digits of x behind the point are lost. Turn the numbers into "
            "the dtype of x, not x into theirs.",
            2,
        ),
        Mistake(
            "rounded-inputs",
            multiplying(of=lambda x, numbers, scale: x.round() @ numbers.to(x.dtype).T),
            "x was rounded to whole numbers. It is a float and may stay one.",
            2,
        ),
        Mistake(
            "scale-squared",
            multiplying(
                of=lambda x, numbers, scale: x.float() @ (numbers * scale[:, None]).T,
            ),
            "the scale was applied twice, before the product and after it. After it is enough.",
            1,
        ),
        Mistake(
            "by-127",
            multiplying(after=lambda y, scale, bias: y * scale / 127 + bias),
            "you divide by 127 again. `quantize_rows` has done it: scale is what one unit is worth.",
            1,
        ),
        Mistake(
            "weights-rounded-again",
            weights_in_the_dtype_of_x,
            "your weights were scaled and then rounded to the dtype of x, which in bfloat16 loses digits. "
            "Whole numbers lose none: multiply with them and scale the result.",
            2,
        ),
        Mistake(
            "rounded-result",
            lambda x, numbers, scale, bias: (x @ numbers.to(x.dtype).T * scale + bias).to(x.dtype),
            "the result was rounded to the dtype of x. It should be float32 for every x, as scale and bias are.",
            2,
        ),
        Mistake(
            "always-bfloat16",
            multiplying(of=lambda x, numbers, scale: x.bfloat16() @ numbers.bfloat16().T),
            "x was rounded to bfloat16. Whoever calls this decides on that: make the product in the dtype of x.",
            2,
        ),
        Mistake(
            "always-float16",
            multiplying(of=lambda x, numbers, scale: x.half() @ numbers.half().T),
            "x was rounded to float16. Make the product in the dtype of x.",
            2,
        ),
        Mistake(
            "scale-in-bfloat16",
            lambda x, numbers, scale, bias: (
                (x @ numbers.to(x.dtype).T) * scale.to(x.dtype) + bias.to(x.dtype)
            ),
            "scale and bias were rounded to the dtype of x. Leave both in float32, and torch promotes the product "
            "to float32, which is the dtype of the result.",
            2,
        ),
    ],
    styles=[
        linear_by_einsum,
        linear_by_loop,
        linear_in_float32,
        linear_from_the_left,
        linear_and_bias_in_units,
    ],
)


# --- 10.5 acceptance_probability


def distributions(seed, V):
    """Two sets of probabilities over V tokens."""
    return tuple((2 * noise(seed + i, V)).softmax(0) for i in range(2))


def acceptance_cases():
    """The draft offers too often, too seldom, as often as the target; the target excludes the token."""
    small = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.5, 0.2, 0.3])
    never = torch.tensor([0.0, 0.6, 0.4]), torch.tensor([0.3, 0.3, 0.4])
    return (
        [(*small, token) for token in range(3)]
        + [(*never, 0)]
        + [(*distributions(1, 7), t) for t in range(7)]
    )


def acceptance_by_case(target, draft, token):
    p, q = target[token].item(), draft[token].item()
    if p >= q:
        return 1.0
    return p / q


def acceptance_by_clamp(target, draft, token):
    return (target[token] / draft[token]).clamp(max=1)


def acceptance_by_minimum(target, draft, token):
    return float(torch.minimum(target, draft)[token] / draft[token])


def acceptance_by_numpy(target, draft, token):
    return min(target.numpy()[token] / draft.numpy()[token], 1)


ACCEPTANCE = Exercise(
    number="10.5",
    name="acceptance_probability",
    level=1,
    minutes=5,
    done="a guess that the draft offers too often is kept just as often as it should come.",
    hints=(
        "p is the target's probability of this one token and q the draft's. Which of the two may be the "
        "larger?",
        "If the draft offers the token less often than it should come, keep it every time.",
        "target[token] / draft[token], and never more than 1. Which function gives the smaller of two "
        "numbers?",
    ),
    cases=acceptance_cases,
    mistakes=[
        Mistake(
            "inverted",
            lambda p, q, t: min(1.0, (q[t] / p[t]).item() if p[t] > 0 else 1.0),
            "you divide the draft's probability by the target's. A token that the draft offers too often "
            "would then always be kept.",
            3,
        ),
        Mistake(
            "no-limit",
            lambda p, q, t: (p[t] / q[t]).item(),
            "your result can exceed 1, but it is a probability. Where the target likes the token better than "
            "the draft does, keep it always.",
            3,
        ),
        Mistake(
            "larger",
            lambda p, q, t: max(1.0, (p[t] / q[t]).item()),
            "you take the larger of 1 and p / q, which is 1 or more, so that every guess is kept. Take the "
            "smaller.",
            3,
        ),
        Mistake(
            "target-only",
            lambda p, q, t: p[t].item(),
            "you return the target's probability. The token has been drawn from the draft, so its chance q is "
            "in the result already; divide by it.",
            1,
        ),
        Mistake(
            "difference",
            lambda p, q, t: max(0.0, min(1.0, 1 - (q[t] - p[t]).item())),
            "you subtract the probabilities. Half as likely should mean kept half of the times: take their "
            "ratio.",
            1,
        ),
        Mistake(
            "yes-or-no",
            lambda p, q, t: float(p[t] >= q[t]),
            "you return 0 whenever the draft offers the token too often. It should still be kept in p / q of "
            "the cases, or it would come too seldom.",
            2,
        ),
        Mistake(
            "greedy",
            lambda p, q, t: float(p.argmax() == t),
            "you keep the target's likeliest token only. That is right for greedy text; a sampled one keeps "
            "the other tokens with their share.",
            1,
        ),
        Mistake(
            "smaller-of-both",
            lambda p, q, t: min(p[t], q[t]).item(),
            "you return the smaller probability. That is how often the token is drawn *and* kept; given that "
            "it was drawn, divide by q.",
            3,
        ),
        Mistake(
            "likeliest-draft",
            lambda p, q, t: min(1.0, (p[t] / q.max()).item()),
            "you divide by the draft's largest probability. Divide by that of the token itself.",
            3,
        ),
    ],
    styles=[acceptance_by_case, acceptance_by_clamp, acceptance_by_minimum, acceptance_by_numpy],
)


# --- 10.6 residual_distribution


def residual_cases():
    """The example, two others, and two equal ones."""
    same = torch.tensor([0.25, 0.5, 0.25])
    return [
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.7, 0.1])),
        distributions(5, 6),
        distributions(8, 11),
        (same, same.clone()),
    ]


def residual_rule(missing_of, scale=lambda missing: missing / missing.sum()):
    """An answer made of two steps; equal distributions give the target."""

    def residual(target, draft):
        if torch.equal(target, draft):
            return target
        return scale(missing_of(target, draft))

    return residual


def missing(target, draft):
    return (target - draft).clamp(min=0)


def residual_by_relu(target, draft):
    more = F.relu(target - draft)
    return target if not more.any() else F.normalize(more, p=1, dim=0)


def residual_by_minimum(target, draft):
    rest = target - torch.minimum(target, draft)
    return rest / rest.sum() if rest.sum() else target.clone()


def residual_by_loop(target, draft):
    rest = [max(0.0, p - q) for p, q in zip(target.tolist(), draft.tolist())]
    total = sum(rest)
    return torch.tensor([r / total for r in rest]) if total else target


def residual_by_mask(target, draft):
    rest = torch.where(target > draft, target - draft, 0.0)
    total = rest.sum().item()
    return target if total == 0 else rest / total


def not_for_equal(target, draft):
    rest = missing(target, draft)
    return rest / rest.sum()


RESIDUAL = Exercise(
    number="10.6",
    name="residual_distribution",
    level=2,
    minutes=10,
    done="what the draft offers too seldom is made up for, so that the text comes out as the large model means it.",
    hints=(
        "Take the tokens one by one: target minus draft. What should become of the negative ones?",
        "After the negative ones have been set to 0, the rest no longer sums to 1. Divide by its sum.",
        "clamp(min=0) of the difference, divided by its sum; and if the sum is 0, the two were equal: return "
        "target.",
    ),
    cases=residual_cases,
    mistakes=[
        Mistake(
            "not-scaled",
            residual_rule(missing, lambda m: m),
            "your result doesn't sum to 1, so it is no distribution. Divide by its sum.",
            2,
        ),
        Mistake(
            "softmax",
            residual_rule(missing, lambda m: m.softmax(0)),
            "you use a softmax to make it sum to 1. That changes the proportions, and gives a chance to tokens "
            "of which nothing is missing; divide by the sum.",
            2,
        ),
        Mistake(
            "negative",
            residual_rule(lambda p, q: p - q, lambda m: m / m.abs().sum()),
            "some of your probabilities are negative. Where the draft offers more than the target, nothing is "
            "missing: set it to 0.",
            1,
        ),
        Mistake(
            "absolute",
            residual_rule(lambda p, q: (p - q).abs()),
            "you take the absolute difference. Tokens that the draft offers too often would come even more "
            "often; set the negative differences to 0.",
            1,
        ),
        Mistake(
            "inverted",
            residual_rule(lambda p, q: (q - p).clamp(min=0)),
            "you subtract the target from the draft. What is missing is target minus draft.",
            1,
        ),
        Mistake(
            "target",
            residual_rule(lambda p, q: p),
            "you draw from the target itself. Tokens that were kept already have got part of their share, so "
            "they would come too often.",
            1,
        ),
        Mistake(
            "masked-target",
            residual_rule(lambda p, q: torch.where(p > q, p, 0.0)),
            "you keep the target's whole probability where it is the larger. Part of it has come from the "
            "draft already: take the difference.",
            1,
        ),
        Mistake(
            "ratio",
            residual_rule(lambda p, q: (p / q - 1).clamp(min=0)),
            "you compare by division. What is missing is a difference of probabilities, p - q.",
            1,
        ),
        Mistake(
            "equal",
            not_for_equal,
            "for equal distributions you divide 0 by 0. Return target where nothing is missing.",
            3,
        ),
        Mistake(
            "uniform",
            residual_rule(lambda p, q: (p > q).float()),
            "all tokens that are missing get the same chance. They are missing by different amounts: p - q.",
            1,
        ),
    ],
    styles=[residual_by_relu, residual_by_minimum, residual_by_loop, residual_by_mask],
)


EXERCISES = [ATTAINABLE, TOKENS, QUANTIZE, QUANTIZED_LINEAR, ACCEPTANCE, RESIDUAL]
