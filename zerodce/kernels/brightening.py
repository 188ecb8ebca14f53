"""The compiled loops that brighten a photo of any size by tables of strengths.

numba keeps their machine code on disk. It looks for changes only in the file of the function that is called, so loops
that call each other are in one file.
"""

from typing import NamedTuple

import numpy as np

from zerodce.kernels.compiling import numba

TILE = 512
"""Pixels worked on at a time: their planes, a dozen of 512 floats, stay in the first-level cache."""


_compiled = numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")


class Hue(NamedTuple):
    """How colours keep their hue while they brighten; float32 values in [0, 1].

    Attributes:
        dark: Up to this brightness no hue is kept.
        bright: From this brightness on the weight is `kept`.
        pale: Up to this saturation no hue is kept.
        vivid: From this saturation on the weight is `kept`.
        kept: Largest weight of hue preservation.
        saturation: The share of its saturation that such a colour keeps.
    """

    dark: np.float32
    bright: np.float32
    pale: np.float32
    vivid: np.float32
    kept: np.float32
    saturation: np.float32


@numba.njit(inline="always")
def iterated(value, strength):
    """One iteration of the curve, like `zerodce.curves.tones.iterated`; inlined into its loop."""
    return value + strength * (value - value * value)


@numba.njit(nogil=True, cache=True)
def position(at, size, map_size):
    """The position of a photo's pixel in a map, along one axis of `size` and `map_size` pixels."""
    return min(max((at + 0.5) * map_size / size - 0.5, 0.0), map_size - 1.0)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find_strengths(brightness, wanted, iterations, steps, strengths):
    """Writes the strengths in [-1, 1] that take a brightness to a tone; -1 or 1 if none does.

    Args:
        brightness: float64 (n,) in [0, 1].
        wanted: float64 (n,): tones.
        iterations: Number of iterations of the curves.
        steps: Number of steps of the bisection.
        strengths: Written to; float64 (n,).
    """
    high, middle, tone = np.empty_like(strengths), np.empty_like(strengths), np.empty_like(strengths)
    for i in range(strengths.size):
        strengths[i], high[i] = -1.0, 1.0
    for _ in range(steps):
        for i in range(strengths.size):
            middle[i] = (strengths[i] + high[i]) / 2
            tone[i] = brightness[i]
        for _ in range(iterations):
            for i in range(strengths.size):
                tone[i] = iterated(tone[i], middle[i])
        for i in range(strengths.size):
            below = tone[i] < wanted[i]
            strengths[i] = middle[i] if below else strengths[i]
            high[i] = high[i] if below else middle[i]


@numba.njit(cache=True, error_model="numpy")
def iterate(values, strengths, iterations):
    """Applies iterations of the curve to values, in place. Keeps the GIL, because the arrays are small.

    Args:
        values: float32 or float64 (n,).
        strengths: Likewise.
        iterations: Number of iterations of the curves.
    """
    for start in range(0, values.size, TILE):
        part, by = values[start : start + TILE], strengths[start : start + TILE]
        for _ in range(iterations):
            for i in range(part.size):
                part[i] = iterated(part[i], by[i])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def spread_row(around, y, height, slopes, offsets):
    """Interpolates a map of slopes and offsets at a row of the photo, to the photo's width."""
    rows, columns, _ = around.shape
    width = slopes.size
    down = position(y, height, rows)
    upper = int(down)
    lower, part = min(upper + 1, rows - 1), np.float32(down - upper)
    if columns == width:  # a small copy
        for x in range(width):
            slopes[x] = around[upper, x, 0] + part * (around[lower, x, 0] - around[upper, x, 0])
            offsets[x] = around[upper, x, 1] + part * (around[lower, x, 1] - around[upper, x, 1])
        return
    start = 0
    for column in range(-1, columns):  # between the middles of two cells
        stop = width if column == columns - 1 else max(start, int(np.ceil((column + 1.5) * width / columns - 0.5)))
        left, right = max(column, 0), min(column + 1, columns - 1)
        slope, offset = np.float32(0), np.float32(0)
        slope = around[upper, left, 0] + part * (around[lower, left, 0] - around[upper, left, 0])
        offset = around[upper, left, 1] + part * (around[lower, left, 1] - around[upper, left, 1])
        slope_rise = around[upper, right, 0] + part * (around[lower, right, 0] - around[upper, right, 0]) - slope
        offset_rise = around[upper, right, 1] + part * (around[lower, right, 1] - around[upper, right, 1]) - offset
        first, step = np.float32((start + 0.5) * columns / width - 0.5 - column), np.float32(columns / width)
        for x in range(stop - start):
            across = first + step * np.float32(x)
            slopes[start + x] = slope + across * slope_rise
            offsets[start + x] = offset + across * offset_rise
        start = stop


@_compiled
def _split(row, start, n, unit, value, brightness):
    """Writes the channels of n pixels of a row as planes in [0, 1], and their brightness, the largest channel."""
    if len(value) == 3:
        for x in range(n):
            red = np.float32(row[start + x, 0]) * unit
            green = np.float32(row[start + x, 1]) * unit
            blue = np.float32(row[start + x, 2]) * unit
            value[0, x], value[1, x], value[2, x] = red, green, blue
            most = red if red > green else green
            brightness[x] = most if most > blue else blue
    else:
        for x in range(n):
            value[0, x] = np.float32(row[start + x, 0]) * unit
            brightness[x] = value[0, x]


@_compiled
def _strengths(row, start, n, width, at, share, strength):
    """Writes the strengths of n pixels: linear between the brightnesses and the columns of a row of tables."""
    columns = len(row)
    for c in range(len(strength)):
        if columns == 1:
            table = row[0, :, c]
            for x in range(n):
                first = table[at[x]]
                strength[c, x] = first + share[x] * (table[at[x] + 1] - first)
        else:
            for x in range(n):
                across = position(start + x, width, columns)
                left = int(across)
                right, by = min(left + 1, columns - 1), np.float32(across - left)
                first = row[left, at[x], c] + by * (row[right, at[x], c] - row[left, at[x], c])
                last = row[left, at[x] + 1, c] + by * (row[right, at[x] + 1, c] - row[left, at[x] + 1, c])
                strength[c, x] = first + share[x] * (last - first)


@_compiled
def _keep_hue(n, brightness, value, curve, hue):
    """Moves the channels of n brightened pixels towards the hue that they had.

    The middle channel keeps its place between the other two, and the smallest a share of its ratio to the largest. The
    weight rises with brightness and saturation.
    """
    zero, one, two, three, tiny = np.float32(0), np.float32(1), np.float32(2), np.float32(3), np.float32(1e-6)
    dark, per_brightness = hue.dark, one / (hue.bright - hue.dark)
    pale, per_saturation = hue.pale, one / (hue.vivid - hue.pale)
    most_kept, pure = hue.kept, hue.saturation
    red, green, blue = value[0], value[1], value[2]
    red_after, green_after, blue_after = curve[0], curve[1], curve[2]
    for x in range(n):
        most = brightness[x]
        least = red[x] if red[x] < green[x] else green[x]
        least = least if least < blue[x] else blue[x]
        light = (most - dark) * per_brightness
        light = zero if light < zero else (one if light > one else light)
        spread = most - least
        colour = (spread / (most if most > tiny else tiny) - pale) * per_saturation
        colour = zero if colour < zero else (one if colour > one else colour)
        keep = most_kept * light * light * (three - two * light) * colour * colour * (three - two * colour)
        top = red_after[x] if red_after[x] > green_after[x] else green_after[x]
        top = top if top > blue_after[x] else blue_after[x]
        bottom = red_after[x] if red_after[x] < green_after[x] else green_after[x]
        bottom = bottom if bottom < blue_after[x] else blue_after[x]
        bottom += pure * (top * least / (most if most > tiny else tiny) - bottom)
        slope = (top - bottom) / (spread if spread > tiny else tiny)
        red_after[x] += keep * (bottom + slope * (red[x] - least) - red_after[x])
        green_after[x] += keep * (bottom + slope * (green[x] - least) - green_after[x])
        blue_after[x] += keep * (bottom + slope * (blue[x] - least) - blue_after[x])


@_compiled
def _follow_surroundings(n, brightness, strength, at, share, slopes, offsets, table, caps, iterations, planes, curve):
    """Multiplies the channels of n pixels by the tone at the strength of their surroundings over that at their own.

    `planes` is scratch memory: float32 (3, n or more).
    """
    one, tiny, steps = np.float32(1), np.float32(1e-6), np.float32(len(table) - 2)
    around, own, other = planes[0], planes[1], planes[2]
    for x in range(n):
        v = slopes[x] * np.sqrt(brightness[x]) + offsets[x]
        around[x] = min(v * v, one) * steps
    for x in range(n):
        first = np.int32(around[x])
        around[x] = table[first] + (around[x] - np.float32(first)) * (table[first + 1] - table[first])
    for x in range(n):
        own[x], other[x] = brightness[x], brightness[x]
    for _ in range(iterations):
        for x in range(n):
            own[x] = iterated(own[x], strength[x])
            other[x] = iterated(other[x], around[x])
    for x in range(n):
        cap = caps[at[x]] + share[x] * (caps[at[x] + 1] - caps[at[x]])
        own[x] = min(other[x], cap) / max(own[x], tiny)
    for c in range(len(curve)):
        for x in range(n):
            curve[c, x] *= own[x]


@_compiled
def _mute(n, at, share, colours, curve):
    """Moves the colours of n pixels towards grey, by the share of noise in their brightness."""
    half, one = np.float32(0.5), np.float32(1)
    red, green, blue = curve[0], curve[1], curve[2]
    for x in range(n):
        part = colours[at[x]] + share[x] * (colours[at[x] + 1] - colours[at[x]])
        top = red[x] if red[x] > green[x] else green[x]
        top = top if top > blue[x] else blue[x]
        bottom = red[x] if red[x] < green[x] else green[x]
        bottom = bottom if bottom < blue[x] else blue[x]
        grey = (one - part) * half * (top + bottom)
        red[x] = grey + part * red[x]
        green[x] = grey + part * green[x]
        blue[x] = grey + part * blue[x]


@_compiled
def _store(curve, start, n, scale, row):
    """Writes n pixels, rounded and clipped, into a row of the photo; overwrites the planes."""
    zero, half = np.float32(0), np.float32(0.5)
    for c in range(len(curve)):
        after = curve[c]
        for x in range(n):
            v = after[x] * scale + half
            after[x] = zero if v < zero else (scale if v > scale else v)
    for x in range(n):
        for c in range(len(curve)):
            row[start + x, c] = np.int32(curve[c, x])


@_compiled
def _between(first, second, part, row):
    """Writes a row of tables between two others; a loop, because the check of a whole assignment compiles for 3 s."""
    columns, count, parts = row.shape
    for column in range(columns):
        for level in range(count):
            for c in range(parts):
                start = first[column, level, c]
                row[column, level, c] = start + part * (second[column, level, c] - start)


@_compiled
def apply_rows(photo, tables, enhanced, levels, iterations, hue, around, caps, colours):
    """Writes the enhanced rows of a photo.

    Every table by brightness repeats its last entry, so that the entry after any entry can be read.

    Args:
        photo: uint8 or uint16 (height, width, channels), 3 or 1 channels.
        tables: float32 (rows, columns, brightnesses, 1 or channels): strengths over the photo, bilinear between cells
            and linear between brightnesses.
        enhanced: Written to; shaped and typed as `photo`.
        levels: The largest value of that type, a float.
        iterations: Number of iterations of the curves.
        hue: A `Hue`.
        around: float32 (rows, columns, 2): the photo's `curves.brightening.surroundings`, which lift the channels;
            no rows: none are lifted.
        caps: float32 (brightnesses,): the highest tone of each brightness; not read without `around`.
        colours: float32 (brightnesses,): the share of its colour that each brightness keeps; no entries: all is kept.
    """
    height, width, channels = photo.shape
    local = around.shape[0] > 0
    slopes, offsets = np.empty(width, np.float32), np.empty(width, np.float32)
    rows, _, count, parts = tables.shape
    unit, scale, steps = np.float32(1 / levels), np.float32(levels), np.float32(count - 2)
    row = tables[0].copy()
    value = np.empty((channels, TILE), np.float32)
    curve = np.empty((channels, TILE), np.float32)
    strength = np.empty((parts, TILE), np.float32)
    planes = np.empty((3, TILE), np.float32)
    brightness = np.empty(TILE, np.float32)
    at = np.empty(TILE, np.int32)
    share = np.empty(TILE, np.float32)
    for y in range(height):
        if rows > 1:
            down = position(y, height, rows)
            upper = int(down)
            part = np.float32(down - upper)
            _between(tables[upper], tables[min(upper + 1, rows - 1)], part, row)
        if local:
            spread_row(around, y, height, slopes, offsets)
        for start in range(0, width, TILE):
            n = min(TILE, width - start)
            _split(photo[y], start, n, unit, value, brightness)
            for x in range(n):
                place = brightness[x] * steps
                at[x] = np.int32(place)
                share[x] = place - np.float32(at[x])
            _strengths(row, start, n, width, at, share, strength)
            for c in range(channels):
                s, after = strength[min(c, parts - 1)], curve[c]
                for x in range(n):
                    after[x] = value[c, x]
                for _ in range(iterations):
                    for x in range(n):
                        after[x] = iterated(after[x], s[x])
            if channels == 3:
                _keep_hue(n, brightness, value, curve, hue)
            if local:
                around_slopes, around_offsets, table = slopes[start:], offsets[start:], row[0, :, 0]
                near = strength[0], at, share, around_slopes, around_offsets
                _follow_surroundings(n, brightness, *near, table, caps, iterations, planes, curve)
            if channels == 3 and colours.size:
                _mute(n, at, share, colours, curve)
            _store(curve, start, n, scale, enhanced[y])


@_compiled
def look_up(photo, tones, lifts, keep, pure, around, colours, enhanced):
    """Writes an enhanced 8-bit colour photo whose strengths depend on brightness alone.

    Args:
        photo: uint8 (height, width, 3).
        tones: float32 (256, 256): the tone of a channel, by the brightness of its pixel and its own value.
        lifts: float32 (256, levels): the factor on all channels of a pixel after that, by its brightness and the
            brightness around it, at even steps of the latter's root.
        keep: float32 (256, 256): weight of hue preservation, by a pixel's brightness and its smallest channel.
        pure: The share of its saturation that a pixel keeps where it keeps its hue, a float32.
        around: float32 (rows, columns, 2): the photo's `zerodce.curves.brightening.surroundings`.
        colours: float32 (256,): the share of its colour that a pixel keeps, by its brightness.
        enhanced: Written to; like `photo`.
    """
    height, width, _ = photo.shape
    one, half, last = np.float32(1), np.float32(0.5), np.float32(lifts.shape[1] - 1)
    mix = np.empty((256, 256, 4), np.float32)  # side by side, so that a pixel reads one line of the cache
    root = np.empty(256, np.float32)
    for most in range(256):
        root[most] = np.sqrt(np.float32(most / 255)) * last
        for least in range(most + 1):  # a channel becomes curve * its tone + start + slope * itself
            kept, top, bottom = keep[most, least], tones[most, most], tones[most, least]
            bottom += pure * (top * np.float32(least) / np.float32(max(most, 1)) - bottom)
            rise = (top - bottom) / np.float32(max(most - least, 1))
            part = colours[most]
            darkest = (one - kept) * tones[most, least] + kept * bottom
            mix[most, least, 0] = part * (one - kept)
            start = part * kept * (bottom - rise * np.float32(least))
            mix[most, least, 1] = start + (one - part) * half * (top + darkest)
            mix[most, least, 2] = part * kept * rise
    slopes, offsets = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        spread_row(around, y, height, slopes, offsets)
        for x in range(width):
            offsets[x] = offsets[x] * last + half
        for x in range(width):
            red, green, blue = photo[y, x, 0], photo[y, x, 1], photo[y, x, 2]
            most = max(red, max(green, blue))
            least = min(red, min(green, blue))
            lift = lifts[most, np.uint8(np.int32(slopes[x] * root[most] + offsets[x]))]
            tone, terms = tones[most], mix[most, least]
            c, a, b = terms[0] * lift, terms[1] * lift + half, terms[2] * lift
            enhanced[y, x, 0] = np.uint8(c * tone[red] + a + b * np.float32(red))
            enhanced[y, x, 1] = np.uint8(c * tone[green] + a + b * np.float32(green))
            enhanced[y, x, 2] = np.uint8(c * tone[blue] + a + b * np.float32(blue))
