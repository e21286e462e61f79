"""The exercises of chapter 10: what a machine can do, weights in one byte, and guesses that are checked."""

import math
import random
from numbers import Number

import numpy as np
import torch
from torch.nn import functional as F

from course.exercise import Exercise, Mistake


def noise(seed, *shape):
    """Random numbers that are the same on every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- 10.1 attainable


def attainable_cases():
    """Left of the corner of the roof and right of it; rates that are not whole; rates of real machines."""
    return [
        (2.0, 100.0, 10.0),
        (50.0, 100.0, 10.0),
        (0.25, 9.5, 6.0),
        (1.25, 9.5, 6.0),
        (4.0, 9.5, 6.0),
        (0.25, 6.0, 20.0),
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


def attainable_by_part(intensity, flops, bandwidth):
    return flops * min(1, intensity / (flops / bandwidth))


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
            "scales-both",
            lambda intensity, flops, bandwidth: min(flops, bandwidth) * intensity,
            "you multiply both limits by the intensity. flops counts operations already; only the bytes are "
            "to be multiplied.",
            1,
        ),
        Mistake(
            "scales-arithmetic",
            lambda intensity, flops, bandwidth: min(flops * intensity, bandwidth),
            "you multiply flops by the intensity. flops counts operations already; it is the bytes of the "
            "bandwidth that are to be multiplied.",
            1,
        ),
        Mistake(
            "in-bytes",
            lambda intensity, flops, bandwidth: min(flops / intensity, bandwidth),
            "your result is in bytes per second. Multiply it by the intensity to get operations per second.",
            1,
        ),
        Mistake(
            "adds-limits",
            lambda intensity, flops, bandwidth: flops + intensity * bandwidth,
            "you add the two limits. A computation has to keep to both, so the smaller one decides.",
            2,
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
        Mistake(
            "corner-alone",
            lambda intensity, flops, bandwidth: flops / bandwidth,
            "you return flops / bandwidth, the intensity at which the two limits meet. Compare the limits "
            "themselves, for the intensity that is given.",
            2,
        ),
        Mistake(
            "whole-corner",
            lambda intensity, flops, bandwidth: (
                flops if intensity >= flops // bandwidth else intensity * bandwidth
            ),
            "you cut off the digits of flops / bandwidth, where the two limits meet. An intensity a little "
            "below it then gets all flops: divide with /.",
            2,
        ),
        *[
            Mistake(
                "cut-off",
                wrong,
                "digits behind the point are cut off. A rate may be 7.5 operations a second: leave out // and "
                "int().",
                3,
            )
            for wrong in (
                lambda intensity, flops, bandwidth: min(flops, intensity * bandwidth) // 1,
                lambda intensity, flops, bandwidth: min(flops, intensity * bandwidth // 1),
                lambda intensity, flops, bandwidth: min(flops // 1, intensity * bandwidth),
                lambda intensity, flops, bandwidth: min(flops, int(intensity) * bandwidth),
            )
        ],
        Mistake(
            "rounded",
            lambda intensity, flops, bandwidth: round(min(flops, intensity * bandwidth)),
            "your result is rounded to a whole number. A rate may be 7.5 operations a second: leave out "
            "round().",
            3,
        ),
    ],
    styles=[attainable_by_corner, attainable_by_time, attainable_by_sorting, attainable_by_part],
)


# --- 10.2 tokens_per_second


def tokens_cases():
    """The example, a few bytes and not a whole number of them, more cache than weights, and real sizes."""
    return [
        (100_000_000, 2, 50_000_000, 10e9),
        (3, 0.5, 1, 9.0),
        (1_000_000, 2, 8_000_000, 25e6),
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
            "cache-twice",
            lambda w, size, cache, band: band / (w * size + 2 * cache),
            "your cache counts twice. cache_bytes are the bytes of keys and values together.",
            3,
        ),
        Mistake(
            "cache-subtracted",
            lambda w, size, cache, band: band / (w * size - cache),
            "you subtract the bytes of the cache. They are fetched as well as the weights, so add them.",
            1,
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
        *[
            Mistake(
                "bits",
                wrong,
                "there is a factor of 8 in your result, as for bits. The weights, the cache and the bandwidth "
                "are all counted in bytes: leave it out.",
                3,
            )
            for wrong in (
                lambda w, size, cache, band: band / (8 * (w * size + cache)),
                lambda w, size, cache, band: band / (8 * w * size + cache),
                lambda w, size, cache, band: 8 * band / (w * size + cache),
            )
        ],
        *[
            Mistake(
                "whole-tokens",
                wrong,
                "your result is a whole number of tokens. A rate may be 3.7 tokens a second: divide with /, "
                "and don't round.",
                2,
            )
            for wrong in (
                lambda w, size, cache, band: band // (w * size + cache),
                lambda w, size, cache, band: round(band / (w * size + cache)),
            )
        ],
        Mistake(
            "whole-bytes",
            lambda w, size, cache, band: band / (int(w * size) + cache),
            "you cut off the bytes of the weights to a whole number. Half a byte for a weight is allowed, so "
            "leave the product as it is.",
            3,
        ),
        *[
            Mistake(
                "sum-of-rates",
                wrong,
                "you add the rate for the weights and the rate for the cache. A step needs both, so their bytes "
                "add up, not their rates.",
                2,
            )
            for wrong in (
                lambda w, size, cache, band: band / (w * size) + (band / cache if cache else 0),
                lambda w, size, cache, band: band / (w * size) + band / cache,
            )
        ],
        *[
            Mistake(
                "slower-alone",
                wrong,
                "you count either the weights or the cache, whichever takes longer. A step fetches both, one "
                "after the other, so their bytes add up.",
                1,
            )
            for wrong in (
                lambda w, size, cache, band: band / max(w * size, cache),
                lambda w, size, cache, band: min(band / (w * size), band / cache),
            )
        ],
        Mistake(
            "product-of-bytes",
            lambda w, size, cache, band: band / (w * size * cache),
            "you multiply the bytes of the weights by those of the cache. They are fetched one after the "
            "other, so add them.",
            1,
        ),
        Mistake(
            "no-bandwidth",
            lambda w, size, cache, band: 1 / (w * size + cache),
            "you divide 1 by the bytes of a step. A second has `bandwidth` bytes: divide those.",
            2,
        ),
        Mistake(
            "multiplies",
            lambda w, size, cache, band: (w * size + cache) * band,
            "you multiply the bytes of a step by the bandwidth. More bytes mean fewer tokens: divide the "
            "bandwidth by them.",
            2,
        ),
    ],
    styles=[tokens_by_seconds, tokens_by_counting, tokens_by_tensor],
)


# --- 10.3 quantize_rows


def quantize_cases():
    """The row of the text, a row of zeros, rows of all sizes (one of them tiny), and rows that are columns.

    Every row has a positive entry, and in many of them the largest entry is a negative one.
    """
    weight = noise(4, 6, 7) * torch.tensor([1.0, 10.0, 0.0, 3.0, 1e-20, 0.1])[:, None]
    return [
        (torch.tensor([[0.5, -2.0, 0.0]]),),
        (torch.tensor([[1.0, -0.3, 0.26], [0.0, 0.0, 0.0]]),),
        (noise(2, 4, 6),),
        (weight,),
        (noise(3, 6, 6).T,),
    ]


def run_quantize(answer, weight):
    """Return both results and their dtypes by name."""
    result = answer(weight)
    if result is None:
        return None
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"two results are wanted, numbers and scale, and this is a {type(result).__name__}")
    numbers, scale = result
    return {
        "dtype of the numbers": str(getattr(numbers, "dtype", type(numbers))),
        "numbers": numbers,
        "dtype of the scale": str(getattr(scale, "dtype", type(scale))),
        "scale": scale,
    }


def largest(weight):
    return weight.abs().amax(1)


def one_unit(weight):
    return largest(weight) / 127


def in_units(weight, scale):
    return weight / scale[:, None]


def as_int8(numbers, scale):
    return numbers.to(torch.int8), scale


def quantizing(
    scale_of=one_unit, divided=in_units, rounds=torch.round, zeros=True, within=None, gives=as_int8
):
    """An answer made of steps; the parts that are not wrong are right.

    zeros: a row of zeros gets the scale 1. within: the numbers are clamped to this range.
    """

    def quantize(weight):
        scale = scale_of(weight)
        if zeros:
            scale = torch.where(scale == 0, 1.0, scale)
        numbers = rounds(divided(weight, scale))
        return gives(numbers if within is None else numbers.clamp(*within), scale)

    return quantize


ANY_RANGE = (None, (-127, 127), (-128, 127))  # what learners clamp to, where they do


def both(name, says, hint, ranges=(None,), **slips):
    """Return a mistake twice: with the scale 1 for a row of zeros and without, and so for every range."""
    return [
        Mistake(name, quantizing(**slips, zeros=zeros, within=within), says, hint)
        for zeros in (True, False)
        for within in ranges
    ]


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


def quantize_by_parts(weight):
    most = weight.abs().max(dim=1, keepdim=True).values
    part = torch.where(most > 0, weight / most, 0.0)  # of the largest entry
    numbers = (127 * part).round().clamp(-127, 127).to(torch.int8)
    return numbers, torch.where(most > 0, most / 127, torch.ones_like(most)).squeeze(1)


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
        *both(
            "cuts-off",
            "your numbers are cut off towards 0 and not rounded. Converting to int8 cuts off; call round() "
            "first.",
            2,
            rounds=torch.trunc,
        ),
        *[
            mistake
            for slips in (
                {"rounds": torch.floor},
                {"divided": lambda weight, scale: weight // scale[:, None]},
            )
            for mistake in both(
                "floor", "you round down. To be as close as possible round to the nearest.", 2, **slips
            )
        ],
        *both("ceil", "you round up. To be as close as possible round to the nearest.", 2, rounds=torch.ceil),
        *both(
            "adds-a-half",
            "you add 0.5 and cut off, which for negative numbers is not the nearest. Call round() instead.",
            2,
            rounds=lambda units: (units + 0.5).trunc(),
        ),
        *both(
            "not-rounded",
            "your numbers are quotients that were not rounded. Call round(), then to(torch.int8).",
            2,
            rounds=lambda units: units,
            gives=lambda numbers, scale: (numbers, scale),
        ),
        *[
            mistake
            for first, then in (
                (torch.round, torch.round),
                (torch.trunc, torch.round),
                (torch.trunc, torch.trunc),
            )
            for mistake in both(
                "rounds-first",
                "you make whole numbers of the weight before you divide it. Little is left of it then: divide "
                "by the scale first, and round what comes out.",
                2,
                divided=lambda weight, scale, first=first: in_units(first(weight), scale),
                rounds=then,
            )
        ],
        *both(
            "no-sign",
            "your numbers have lost their sign. The absolute value is for the scale only: divide the weight "
            "itself.",
            1,
            divided=lambda weight, scale: in_units(weight.abs(), scale),
        ),
        *[
            mistake
            for divided in (in_units, lambda weight, scale: weight / scale)
            for mistake in both(
                "columns",
                "your scales belong to the columns: there is one for each of the K columns. A row of the weight "
                "makes one number of the result, so give each row its own.",
                1,
                scale_of=lambda weight: weight.abs().amax(0) / 127,
                divided=divided,
            )
        ],
        Mistake(
            "one-scale",
            quantizing(lambda weight: (weight.abs().max() / 127).expand(len(weight))),
            "all rows have the same scale. A single large entry would then spoil every row; take the largest "
            "value of each row by itself.",
            1,
        ),
        *[
            Mistake(
                "one-scale-alone",
                quantizing(scale_of, divided=lambda weight, scale: weight / scale),
                "you have one scale for all rows. Take the largest of each row, amax(dim=1), and return (N,) "
                "scales.",
                1,
            )
            for scale_of in (
                lambda weight: weight.abs().max() / 127,
                lambda weight: weight.abs().max().view(1) / 127,
                lambda weight: weight.max() / 127,
            )
        ],
        *both(
            "without-abs",
            "you take the largest value, not the largest absolute value. A row whose largest entry is "
            "negative then does not fit into -127 to 127.",
            1,
            ranges=ANY_RANGE,
            scale_of=lambda weight: weight.amax(1) / 127,
        ),
        *both(
            "spans",
            "your unit comes from the distance between the smallest and the largest value. 0 has to stay 0, "
            "so take the largest absolute value of the row, divided by 127.",
            1,
            ranges=ANY_RANGE,
            scale_of=lambda weight: (weight.amax(1) - weight.amin(1)) / 255,
        ),
        *both(
            "divides-by-128",
            "with 128 the largest entry becomes 128, and int8 ends at 127: it comes out as -128. Divide by 127.",
            1,
            scale_of=lambda weight: largest(weight) / 128,
        ),
        *both(
            "divides-by-128",
            "you divide by 128. int8 reaches 127 on the positive side, so the largest entry would not fit.",
            1,
            ranges=ANY_RANGE[1:],
            scale_of=lambda weight: largest(weight) / 128,
        ),
        *both(
            "divides-by-255",
            "you divide by 255, as for numbers from 0 to 255. From -127 to 127 half of the range is for each "
            "sign.",
            1,
            ranges=ANY_RANGE,
            scale_of=lambda weight: largest(weight) / 255,
        ),
        *both(
            "not-divided",
            "your scale is the largest value itself, so all numbers lie between -1 and 1 and nearly all are "
            "0. One unit is the largest value divided by 127.",
            1,
            scale_of=largest,
        ),
        *both(
            "scale-of-127-units",
            "your numbers are right, but your scale is the largest value, 127 units. Return what one unit is "
            "worth.",
            1,
            gives=lambda numbers, scale: as_int8(numbers, torch.where(scale == 1, scale, 127 * scale)),
        ),
        Mistake(
            "zero-row",
            quantizing(zeros=False),
            "the scale of a row of zeros comes out as 0 or nearly 0, and 0 / 0 is not a number. Give such a row "
            "the scale 1.",
            3,
        ),
        Mistake(
            "zero-row-divided",
            quantizing(lambda weight: torch.where(largest(weight) == 0, 1.0, largest(weight)) / 127),
            "a row of zeros gets the scale 1 / 127. It should be 1: put it in after dividing by 127.",
            3,
        ),
        Mistake(
            "small-number",
            quantizing(lambda weight: one_unit(weight).clamp(min=1e-8)),
            "a small number keeps 0 out of your division, so a row of zeros does not get the scale 1, and in a "
            "row of tiny numbers all become 0. Put 1 where the scale is 0, and only there.",
            3,
        ),
        Mistake(
            "small-rows",
            quantizing(lambda weight: torch.where(one_unit(weight) < 1e-6, 1.0, one_unit(weight))),
            "a row of very small numbers gets the scale 1, and its numbers become 0. Only a row of zeros gets "
            "it: compare with 0.",
            3,
        ),
        *both(
            "multiplies",
            "you multiply by the scale. To count how many units an entry holds, divide by the unit.",
            2,
            divided=lambda weight, scale: weight * scale[:, None],
        ),
        *both(
            "inverse",
            "you return 1 / scale. numbers * scale[:, None] is to give the weight back.",
            1,
            gives=lambda numbers, scale: as_int8(numbers, 1 / scale),
        ),
        *both(
            "kept-dimension",
            "your scale has the shape (N, 1). Return (N,): leave out keepdim, and use scale[:, None] where "
            "you divide.",
            2,
            gives=lambda numbers, scale: as_int8(numbers, scale[:, None]),
        ),
        *both(
            "spread",
            "your unit comes from the standard deviation. Take the largest absolute value of the row, so that "
            "it becomes 127 and all others fit.",
            1,
            scale_of=lambda weight: 3 * weight.std(1) / 127,
        ),
        Mistake(
            "lined-up-with-columns",
            quantizing(divided=lambda weight, scale: weight / scale),
            "the scales (N,) line up with the columns. Give them an axis: scale[:, None].",
            2,
        ),
        Mistake(
            "pair-of-max",
            lambda weight: weight.abs().max(dim=1) / 127,
            "max(dim=1) gives two tensors, the values and their places. Take max(dim=1).values, or amax(dim=1).",
            1,
        ),
        *both(
            "swapped",
            "your two results are swapped. Return the numbers first and then the scale.",
            3,
            gives=lambda numbers, scale: as_int8(numbers, scale)[::-1],
        ),
        Mistake(
            "one-result",
            lambda weight: weight,
            "you return one tensor. Return two, the numbers and the scale, with a comma between them.",
            3,
        ),
        *both(
            "weight-again",
            "your first result is the weight again, made of numbers and scale. Return the whole numbers "
            "themselves, as int8.",
            3,
            gives=lambda numbers, scale: (numbers.to(torch.int8) * scale[:, None], scale),
        ),
        *[
            mistake
            for dtype in (torch.float32, torch.int16, torch.int32, torch.int64)
            for mistake in both(
                "not-int8",
                "your numbers are whole, but not of the dtype that takes one byte. Return them as int8: "
                "to(torch.int8).",
                3,
                gives=lambda numbers, scale, dtype=dtype: (numbers.to(dtype), scale),
            )
        ],
        *both(
            "uint8",
            "your numbers are uint8, which has no negative numbers. Return them as int8: to(torch.int8).",
            3,
            gives=lambda numbers, scale: (numbers.to(torch.int8).to(torch.uint8), scale),
        ),
        *both(
            "float64-scale",
            "your scale is float64. Return it as float32, the dtype that the text asks for: scale.float().",
            3,
            gives=lambda numbers, scale: as_int8(numbers, scale.double()),
        ),
    ],
    styles=[quantize_by_loop, quantize_by_norm, quantize_by_extremes, quantize_by_parts],
    tolerance=1e-6,
)


# --- 10.4 quantized_linear


def linear_cases():
    """Three numbers by hand, a matrix that is not square, a scale of inf, one as large each way, bfloat16.

    Only a product that is scaled afterwards comes out as inf; 0 * inf in the weights would be NaN. There is
    a single scale with it, so that a product with a diagonal matrix of the scales is right too.
    """
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
        (
            torch.tensor([[1.0, 2.0, 3.0]]),
            torch.tensor([[2, 0, 1]], dtype=torch.int8),
            torch.tensor([torch.inf]),
            torch.tensor([10.0]),
        ),
        (noise(13, 6, 6), square, noise(14, 6).abs() / 50, noise(15, 6)),
        (  # sums of small whole numbers are exact in bfloat16
            (2 * noise(16, 5, 8)).round().clamp(-4, 4).bfloat16(),
            small,
            noise(17, 5).abs() / 50,
            noise(18, 5),
        ),
    ]


def run_linear(answer, x, numbers, scale, bias):
    """Return the result; it must not be float64."""
    result = answer(x, numbers, scale, bias)
    if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
        raise TypeError("the result is torch.float64, but torch.float32 is wanted")
    return result


def product(x, numbers, scale):
    return x @ numbers.to(x.dtype).T


def product_of_weights(x, numbers, scale):
    """The product with the weights themselves, which are made again."""
    return x.float() @ (numbers * scale[:, None]).T


def product_of_floats(x, numbers, scale):
    """A product that raises an error where x is not float32."""
    return x @ numbers.float().T


def multiplying(of=product, after=lambda y, scale, bias: y * scale + bias):
    """An answer made of two steps, the product and what is done with it; one that is not given is right."""
    return lambda x, numbers, scale, bias: after(of(x, numbers, scale), scale, bias)


def in_both_dtypes(name, says, hint, *afters):
    """Return a mistake twice for each way to go on: after a product for any x, and after one for float32 alone."""
    return [
        Mistake(name, multiplying(of, after), says, hint)
        for after in afters
        for of in (product, product_of_floats)
    ]


def linear_by_einsum(x, numbers, scale, bias):
    return torch.einsum("mk,nk->mn", x, numbers.to(x.dtype)) * scale + bias


def linear_by_loop(x, numbers, scale, bias):
    columns = [bias[n] + scale[n] * (x @ row.to(x.dtype)).float() for n, row in enumerate(numbers)]
    return torch.stack(columns, dim=1)


def linear_in_float32(x, numbers, scale, bias):
    return torch.addcmul(bias, F.linear(x.float(), numbers.float()), scale)


def linear_from_the_left(x, numbers, scale, bias):
    return (scale[:, None] * (numbers.double() @ x.double().T) + bias[:, None]).T.float()


def linear_and_bias_in_units(x, numbers, scale, bias):
    return (F.linear(x, numbers.type_as(x)) + bias / scale) * scale


def linear_with_diagonal(x, numbers, scale, bias):
    return torch.addmm(bias, (x @ numbers.to(x).t()).float(), torch.diag(scale))


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
    run=run_linear,
    arguments=("x", "numbers", "scale", "bias"),
    mistakes=[
        *in_both_dtypes(
            "no-scale",
            "the scale is missing. The numbers are in units; scale says what a unit of each row is worth.",
            1,
            lambda y, scale, bias: y.float() + bias,
        ),
        *in_both_dtypes(
            "no-bias",
            "the bias is missing. It is added to each row of the result.",
            3,
            lambda y, scale, bias: y * scale,
        ),
        Mistake(
            "no-bias",
            multiplying(product_of_weights, lambda y, scale, bias: y),
            "the bias is missing. It is added to each row of the result.",
            3,
        ),
        *in_both_dtypes(
            "scaled-bias",
            "the bias was scaled too. It is not in units: add it after the product has been scaled.",
            3,
            lambda y, scale, bias: (y + bias) * scale,
        ),
        Mistake(
            "scaled-bias-in-the-product",
            lambda x, numbers, scale, bias: F.linear(x, numbers.to(x.dtype), bias.to(x.dtype)) * scale,
            "F.linear has added the bias before the scaling, so it was scaled too. It is not in units: add it "
            "after the product has been scaled.",
            3,
        ),
        *in_both_dtypes(
            "bias-subtracted",
            "the bias was subtracted. A linear layer adds it.",
            3,
            lambda y, scale, bias: y * scale - bias,
        ),
        *in_both_dtypes(
            "divides",
            "you divide by the scale. Quantizing divided by it, so this is the place to multiply.",
            1,
            lambda y, scale, bias: y / scale + bias,
        ),
        *in_both_dtypes(
            "scale-of-tokens",
            "your scale runs along the rows of the result, which are tokens. It belongs to the rows of the "
            "matrix, and these are the columns of the result: y * scale, without a new dimension.",
            1,
            lambda y, scale, bias: y * scale[:, None] + bias,
            lambda y, scale, bias: scale[:, None] * y + bias,
            lambda y, scale, bias: y * scale[:, None] + bias[:, None],
            lambda y, scale, bias: scale[:, None] * y + bias[:, None],
            lambda y, scale, bias: y * scale[: len(y), None] + bias,
        ),
        *in_both_dtypes(
            "bias-of-tokens",
            "your bias runs along the rows of the result, which are tokens. It has one number for each column.",
            3,
            lambda y, scale, bias: y * scale + bias[:, None],
            lambda y, scale, bias: y * scale + bias[: len(y), None],
        ),
        Mistake(
            "scaled-inputs",
            multiplying(
                lambda x, numbers, scale: (x * scale) @ numbers.to(x.dtype).T,
                lambda y, scale, bias: y + bias,
            ),
            "your scale runs along the K inputs. It belongs to the rows of the numbers, so it comes after "
            "the product.",
            1,
        ),
        Mistake(
            "not-transposed",
            multiplying(lambda x, numbers, scale: x @ numbers.to(x.dtype)),
            "the numbers are not transposed. They are (N, K), one row for each result, as in nn.Linear: "
            "multiply with numbers.T.",
            3,
        ),
        Mistake(
            "transposed-result",
            lambda x, numbers, scale, bias: scale[:, None] * (numbers.to(x.dtype) @ x.T) + bias[:, None],
            "your result is (N, M), with a column for each token. It should have a row for each, (M, N): "
            "transpose it.",
            3,
        ),
        Mistake(
            "in-int8",
            multiplying(lambda x, numbers, scale: (x.to(torch.int8) @ numbers.T).float()),
            "you multiply in int8. That cuts off the digits of x, and a sum above 127 starts again at -128. "
            "Turn the numbers into the dtype of x.",
            2,
        ),
        Mistake(
            "in-integers",
            multiplying(lambda x, numbers, scale: (x.int() @ numbers.int().T).float()),
            "you multiply whole numbers, so the digits of x behind the point are lost. Turn the numbers into "
            "the dtype of x, not x into theirs.",
            2,
        ),
        Mistake(
            "rounded-inputs",
            multiplying(lambda x, numbers, scale: x.round() @ numbers.to(x.dtype).T),
            "x was rounded to whole numbers. It is a float and may stay one.",
            2,
        ),
        *[
            Mistake(
                "scale-squared",
                wrong,
                "the scale was applied twice. Once is enough, after the product.",
                1,
            )
            for wrong in (
                multiplying(product_of_weights),
                multiplying(after=lambda y, scale, bias: y * scale * scale + bias),
            )
        ],
        *in_both_dtypes(
            "by-127",
            "you divide by 127 again. `quantize_rows` has done it: scale is what one unit is worth.",
            1,
            lambda y, scale, bias: y * scale / 127 + bias,
        ),
        *[
            Mistake(
                "weights-scaled",
                wrong,
                "you scale before the sum over K, which takes at least N * K multiplications (and meets 0 * inf "
                "where a scale is inf). Multiply x with the whole numbers, and scale the M * N results.",
                1,
            )
            for wrong in (
                multiplying(product_of_weights, lambda y, scale, bias: y + bias),
                lambda x, numbers, scale, bias: x @ (numbers * scale[:, None]).T + bias,
                lambda x, numbers, scale, bias: F.linear(x, numbers * scale[:, None], bias),
                lambda x, numbers, scale, bias: torch.einsum("mk,nk->mn", x, numbers * scale[:, None]) + bias,
            )
        ],
        *[
            Mistake(
                "weights-rounded-again",
                wrong,
                "your weights were scaled and then rounded to the dtype of x, which in bfloat16 loses digits. "
                "Whole numbers lose none: multiply with them and scale the result.",
                2,
            )
            for wrong in (
                lambda x, numbers, scale, bias: x @ (numbers * scale[:, None]).to(x.dtype).T + bias,
                lambda x, numbers, scale, bias: F.linear(
                    x, (numbers * scale[:, None]).to(x.dtype), bias.to(x.dtype)
                ),
            )
        ],
        Mistake(
            "rounded-result",
            lambda x, numbers, scale, bias: (x @ numbers.to(x.dtype).T * scale + bias).to(x.dtype),
            "the result was rounded to the dtype of x. It should be float32 for every x, as scale and bias are.",
            2,
        ),
        Mistake(
            "rounded-columns",
            lambda x, numbers, scale, bias: torch.stack(
                [x @ row.to(x.dtype) * scale[n] + bias[n] for n, row in enumerate(numbers)], dim=1
            ),
            "your result is rounded to the dtype of x: scale[n] has no axis, and torch then keeps the dtype of "
            "the other factor. Call float() on the product before you scale it.",
            2,
        ),
        Mistake(
            "float64-result",
            multiplying(lambda x, numbers, scale: product(x.double(), numbers, scale)),
            "your result is float64. It should be float32: make the product in the dtype of x.",
            2,
        ),
        Mistake(
            "always-bfloat16",
            multiplying(lambda x, numbers, scale: x.bfloat16() @ numbers.bfloat16().T),
            "x was rounded to bfloat16. Whoever calls this decides on that: make the product in the dtype of x.",
            2,
        ),
        Mistake(
            "always-float16",
            multiplying(lambda x, numbers, scale: x.half() @ numbers.half().T),
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
        linear_with_diagonal,
    ],
)


# --- 10.5 acceptance_probability


def distributions(seed, V):
    """Two sets of probabilities over V tokens."""
    return tuple((2 * noise(seed + i, V)).softmax(0) for i in range(2))


def acceptance_cases():
    """The draft offers too often, too seldom, as often as the target; the target excludes the token.

    No probability is near 0 or 1 without being it, so that an answer that draws gives itself away.
    """
    small = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.5, 0.2, 0.3])
    never = torch.tensor([0.0, 0.6, 0.4]), torch.tensor([0.3, 0.3, 0.4])
    return (
        [(*small, token) for token in range(3)]
        + [(*never, 0)]
        + [(*distributions(46, 6), t) for t in range(6)]
    )


def as_float(result):
    """Return a number or a truth value, alone or in a tensor, as a float; other things as they are."""
    if isinstance(result, (Number, np.generic, np.ndarray, torch.Tensor)):
        result = torch.as_tensor(result)
        return float(result) if result.numel() == 1 else result
    return result


def run_acceptance(answer, target, draft, token):
    """Return the result as a float; where it is 0 or 1, ask many times, and return both if it is drawn."""
    result = as_float(answer(target, draft, token))
    if not isinstance(result, float) or result not in (0.0, 1.0):
        return result
    results = {as_float(answer(target, draft, token)) for _ in range(60)}
    return result if results == {result} else tuple(sorted(results))


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


def acceptance_by_logs(target, draft, token):
    return torch.exp(torch.log(target[token]) - torch.log(draft[token])).clamp(max=1)


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
    run=run_acceptance,
    arguments=("target", "draft", "token"),
    mistakes=[
        *[
            Mistake(
                "inverted",
                wrong,
                "you divide the draft's probability by the target's. A token that the draft offers too often "
                "would then always be kept.",
                3,
            )
            for wrong in (
                lambda p, q, t: min(1.0, (q[t] / p[t]).item()),
                lambda p, q, t: min(1.0, q[t].item() / p[t].item()),
                lambda p, q, t: (q[t] / p[t]).item(),
            )
        ],
        *[
            Mistake(
                "no-limit",
                wrong,
                "your result can exceed 1, but it is a probability. Where the target likes the token better "
                "than the draft does, keep it always.",
                3,
            )
            for wrong in (
                lambda p, q, t: (p[t] / q[t]).item(),
                lambda p, q, t: math.exp(math.log(p[t]) - math.log(q[t])),
            )
        ],
        Mistake(
            "larger",
            lambda p, q, t: max(1.0, (p[t] / q[t]).item()),
            "you take the larger of 1 and p / q, which is 1 or more, so that every guess is kept. Take the "
            "smaller.",
            3,
        ),
        Mistake(
            "always",
            lambda p, q, t: 1.0,
            "you keep every guess. Where the draft offers a token too often, keep it in p / q of the cases.",
            2,
        ),
        Mistake(
            "target-only",
            lambda p, q, t: p[t].item(),
            "you return the target's probability. The token has been drawn from the draft, so its chance q is "
            "in the result already; divide by it.",
            1,
        ),
        Mistake(
            "draft-only",
            lambda p, q, t: q[t].item(),
            "you return the draft's probability. How often the token should come is what counts too: compare "
            "it with the target's.",
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
            "share",
            lambda p, q, t: (p[t] / (p[t] + q[t])).item(),
            "you divide by the sum of both probabilities. A token that both give the same one is kept always: "
            "divide by the draft's alone.",
            1,
        ),
        *[
            Mistake(
                "yes-or-no",
                wrong,
                "you return 0 whenever the draft offers the token too often. It should still be kept in p / q "
                "of the cases, or it would come too seldom.",
                2,
            )
            for wrong in (lambda p, q, t: float(p[t] >= q[t]), lambda p, q, t: float(p[t] > q[t]))
        ],
        Mistake(
            "draws",
            lambda p, q, t: float(random.random() < (p[t] / q[t]).item()),
            "your result is now 0 and now 1, as chance has it. Return the probability itself; whoever calls "
            "this draws.",
            3,
        ),
        Mistake(
            "thrown-away",
            lambda p, q, t: max(0.0, 1 - (p[t] / q[t]).item()),
            "you return how likely the token is thrown away. Return how likely it is kept.",
            3,
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
        Mistake(
            "for-all-tokens",
            lambda p, q, t: (p / q).clamp(max=1),
            "you return a probability for each token. One is asked for: take target[token] and draft[token].",
            1,
        ),
        Mistake(
            "log-of-0",
            lambda p, q, t: math.exp(min(0.0, math.log(p[t]) - math.log(q[t]))),
            "math.log raises an error where the target's probability is 0. Divide the probabilities "
            "themselves.",
            3,
        ),
    ],
    styles=[
        acceptance_by_case,
        acceptance_by_clamp,
        acceptance_by_minimum,
        acceptance_by_numpy,
        acceptance_by_logs,
    ],
)


# --- 10.6 residual_distribution


def residual_cases():
    """The example, one token that is equal, two others, two that are nearly equal, and two that are equal."""
    same = torch.tensor([0.25, 0.5, 0.25])
    return [
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.7, 0.1])),
        (torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.1, 0.5])),
        distributions(5, 6),
        distributions(33, 11),
        (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.498, 0.301, 0.201])),
        (same, same.clone()),
    ]


def missing(target, draft):
    return (target - draft).clamp(min=0)


def to_sum_1(rest):
    return rest / rest.sum()


def residual_rule(of=missing, scaled=to_sum_1, equal=torch.equal):
    """An answer made of two steps; equal distributions give the target."""

    def residual(target, draft):
        return target if equal(target, draft) else scaled(of(target, draft))

    return residual


def with_and_without(name, says, hint, **slips):
    """Return a mistake twice: with a case of its own for equal distributions, and without."""
    return [
        Mistake(name, residual_rule(**slips, equal=equal), says, hint)
        for equal in (torch.equal, lambda target, draft: False)
    ]


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
        *with_and_without(
            "not-scaled",
            "your result doesn't sum to 1, so it is no distribution. Divide by its sum.",
            2,
            scaled=lambda rest: rest,
        ),
        *with_and_without(
            "softmax",
            "you use a softmax to make it sum to 1. That changes the proportions, and gives a chance to tokens "
            "of which nothing is missing; divide by the sum.",
            2,
            scaled=lambda rest: rest.softmax(0),
        ),
        *with_and_without(
            "euclidean",
            "you divide by the Euclidean length, so the squares sum to 1 and not the probabilities. Divide by "
            "the sum.",
            2,
            scaled=lambda rest: rest / rest.norm(),
        ),
        Mistake(
            "euclidean",
            lambda target, draft: F.normalize(missing(target, draft), dim=0),
            "you divide by the Euclidean length, so the squares sum to 1 and not the probabilities. Divide by "
            "the sum: F.normalize has p=2 unless you say p=1.",
            2,
        ),
        *with_and_without(
            "by-the-largest",
            "you divide by the largest entry, so the result doesn't sum to 1. Divide by the sum.",
            2,
            scaled=lambda rest: rest / rest.max(),
        ),
        *[
            mistake
            for scaled in (lambda rest: rest, to_sum_1, lambda rest: rest / rest.abs().sum())
            for mistake in with_and_without(
                "negative",
                "some of your probabilities are negative. Where the draft offers more than the target, nothing "
                "is missing: set it to 0.",
                1,
                of=lambda target, draft: target - draft,
                scaled=scaled,
            )
        ],
        *with_and_without(
            "softmax-of-difference",
            "you use a softmax of the differences, which gives every token a chance. Set the negative ones to "
            "0 and divide by the sum.",
            1,
            of=lambda target, draft: target - draft,
            scaled=lambda rest: rest.softmax(0),
        ),
        *with_and_without(
            "sum-of-all",
            "you divide by the sum of all the absolute differences, so what is left of them doesn't sum to 1. Set "
            "the negative ones to 0 first, and divide by the sum of the rest.",
            2,
            of=lambda target, draft: target - draft,
            scaled=lambda rest: (rest / rest.abs().sum()).clamp(min=0),
        ),
        *with_and_without(
            "absolute",
            "you take the absolute difference. Tokens that the draft offers too often would come even more "
            "often; set the negative differences to 0.",
            1,
            of=lambda target, draft: (target - draft).abs(),
        ),
        *with_and_without(
            "inverted",
            "you subtract the target from the draft. What is missing is target minus draft.",
            1,
            of=lambda target, draft: missing(draft, target),
        ),
        Mistake(
            "target",
            residual_rule(lambda target, draft: target),
            "you draw from the target itself. Tokens that were kept already have got part of their share, so "
            "they would come too often.",
            1,
        ),
        *with_and_without(
            "masked-target",
            "you keep the target's whole probability where it is the larger. Part of it has come from the "
            "draft already: take the difference.",
            1,
            of=lambda target, draft: torch.where(target > draft, target, 0.0),
        ),
        Mistake(
            "overlap",
            residual_rule(torch.minimum),
            "you take the smaller of both probabilities, which is what is kept of the draft's guesses. What is "
            "missing is the rest of the target: target minus draft, and no less than 0.",
            1,
        ),
        *with_and_without(
            "ratio",
            "you compare by division. What is missing is a difference of probabilities, p - q.",
            1,
            of=lambda target, draft: (target / draft - 1).clamp(min=0),
        ),
        *with_and_without(
            "uniform",
            "all tokens that are missing get the same chance. They are missing by different amounts: p - q.",
            1,
            of=lambda target, draft: (target > draft).float(),
        ),
        Mistake(
            "equal",
            residual_rule(equal=lambda target, draft: False),
            "for equal distributions you divide 0 by 0. Return target where nothing is missing.",
            3,
        ),
        Mistake(
            "zeros",
            residual_rule(scaled=lambda rest: rest / rest.sum().clamp(min=1e-8), equal=lambda *_: False),
            "for equal distributions your result is 0 everywhere, so it doesn't sum to 1. Return target where "
            "nothing is missing.",
            3,
        ),
        Mistake(
            "one-is-equal",
            residual_rule(equal=lambda target, draft: (target == draft).any()),
            "you return target as soon as one token has the same probability in both. Something is missing "
            "until all are equal.",
            3,
        ),
        Mistake(
            "nearly-equal",
            residual_rule(equal=lambda target, draft: torch.allclose(target, draft, atol=0.01)),
            "you return target where the two are only nearly equal. What is missing is then little, but it is "
            "not spread as the target is: return target where nothing is missing.",
            3,
        ),
    ],
    styles=[residual_by_relu, residual_by_minimum, residual_by_loop, residual_by_mask],
)


EXERCISES = [ATTAINABLE, TOKENS, QUANTIZE, QUANTIZED_LINEAR, ACCEPTANCE, RESIDUAL]
