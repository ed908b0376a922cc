# SPDX-License-Identifier: Apache-2.0
"""What all pictures share: colours, markers, style, safe names, and writing with the numbers.

    figure = pictures.new_figure(8, 5)
    axes = figure.add_subplot()
    axes.plot(x, y, color=pictures.colour("easyquant"), marker=pictures.marker("easyquant"))
    files, table = pictures.save(figure, "small_rate", ["x", "y"], zip(x, y), folder, ["png"])

An approach has one colour, marker and dash in every picture, and no two have the same. Every
picture is written with a CSV file of the numbers that are drawn.
"""
import collections
import csv
import functools
import os
import re
import textwrap
import zlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  The backend has to be chosen first.
import numpy as np  # noqa: E402
from matplotlib import font_manager  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator  # noqa: E402

import words  # noqa: E402
from read_quantopt import APPROACHES, in_order  # noqa: E402, F401

# What is drawn: name is the files' stem, caption one or two sentences for a reader, vector the name
# of the vector or None, files one path a format, csv the path of the numbers.
Picture = collections.namedtuple("Picture", "name title caption vector files csv")

# Okabe and Ito's colours, which people with any colour vision tell apart. Yellow is too faint for
# lines on white, so others stand in for it. Lines are broken above an unbroken wider one, so that
# where two are the same both are seen.
Look = collections.namedtuple("Look", "colour marker dashes width", defaults=(1.5,))
LOOKS = {
    "uniform": Look("#D55E00", "s", "-"),
    "non-uniform": Look("#0072B2", "o", "-", 2.4),
    "easyquant": Look("#009E73", "D", (0, (5, 3))),
    "easyquant-uniform": Look("#CC79A7", "^", (0, (1.5, 1.5))),
    # The published codebooks.
    "af4": Look("#56B4E9", "v", (0, (6, 2, 1, 2))),
    "e2m1": Look("#777777", "P", (0, (4, 2))),
    "fp4": Look("#000000", "X", (0, (1, 2))),
    "iq4_nl": Look("#8C510A", "*", (0, (8, 2, 2, 2, 2, 2))),
    "nf4": Look("#E69F00", "<", (0, (3, 1, 1, 1))),
    "max16": Look("#A89A00", ">", (0, (9, 3))),
}
# For codebooks besides, in the order in which they come. The lengths have no common divisor, so all
# their combinations come before one comes again.
MORE_COLOURS = ("#6A3D9A", "#B2182B", "#01665E", "#E7298A", "#3F51B5")
MORE_MARKERS = "phd8"
MORE_DASHES = ((0, (2, 1)), (0, (7, 1, 1, 1, 1, 1)), (0, (5, 1, 2, 1)))

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.axisbelow": True,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.titlesize": 11,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 120,
    "pdf.fonttype": 42,  # Text that can be searched and edited.
    "svg.fonttype": "none",
}
GREY, PALE, GRID = "#555555", "#B9C2CC", "#E6E6E6"
EXTREME = 1e150
# Bytes of a file's stem: with suffix and extension below the 255 of most file systems.
LONGEST_STEM = 120

matplotlib.rcParams.update(STYLE)


# ---- Approaches ----

def look(approach):
    """Colour, marker and dashes: always the same of the four approaches and published codebooks; of
    another codebook the next that is left, which no other has in this run."""
    if approach not in LOOKS:
        left = len(LOOKS)
        LOOKS[approach] = Look(*(things[left % len(things)] for things in (
            MORE_COLOURS, MORE_MARKERS, MORE_DASHES)))
    return LOOKS[approach]


def colour(approach):
    return look(approach).colour


def marker(approach):
    """Tells approaches apart where colours do not."""
    return look(approach).marker


def line(approach):
    """How to draw the approach's line."""
    style = look(approach)
    return {"color": style.colour, "linestyle": style.dashes, "linewidth": style.width}


def is_codebook(approach):
    """Whether levels were given, up to a scale, rather than found."""
    return approach not in APPROACHES


# ---- Names ----

@functools.lru_cache
def drawn_letters():
    """What the font has a shape for."""
    return font_manager.get_font(font_manager.findfont("sans")).get_charmap()


def verbatim(text):
    """A name as it is: matplotlib takes what stands between two $ for mathematics. Letters that the
    font lacks are boxes."""
    known = drawn_letters()
    text = "".join(c if c == "\n" or ord(c) in known and c.isprintable() else "□" for c in text)
    return text.replace("$", r"\$")


def stems(names):
    """A safe and unique start of a file's name for each of the names, also where a file system
    does not tell a from A."""
    found, taken = {}, set()
    for name in names:
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._-") or "vector"
        if len(stem.encode()) > LONGEST_STEM:
            kept = stem.encode()[-(LONGEST_STEM - 9):].decode(errors="ignore")
            stem = f"{zlib.crc32(name.encode()):08x}_{kept}"
        unique, again = stem, 2
        while unique.lower() in taken:
            unique, again = f"{stem}_{again}", again + 1
        taken.add(unique.lower())
        found[name] = unique
    return found


# ---- Figures ----

def new_figure(width, height):
    """Inches. save() closes it."""
    return plt.figure(figsize=(width, height))


def value_text(value):
    """A number in a CSV file: whole and exact, as Python reads it back."""
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return value


def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(header)
        table.writerows([[value_text(value) for value in row] for row in rows])
    return path


def save(figure, stem, header, rows, folder, formats=("png",)):
    """Writes folder/stem.FORMAT for each format and folder/stem.csv; closes the figure. Returns the
    pictures' paths and the CSV file's. Raises OSError."""
    files = [os.path.join(folder, f"{stem}.{each}") for each in formats]
    try:
        for path in files:
            figure.savefig(path)
    finally:
        plt.close(figure)
    return files, write_csv(os.path.join(folder, f"{stem}.csv"), header, rows)


class Album:
    """The pictures drawn so far, and where they go."""

    def __init__(self, folder, formats=("png",)):
        self.folder = folder
        self.formats = formats
        self.pictures = []

    def add(self, figure, stem, title, caption, table, vector=None):
        """Writes a picture; table is (header, rows) of what is drawn."""
        header, rows = table
        files, path = save(figure, stem, header, rows, self.folder, self.formats)
        name = vector.name if vector else None
        self.pictures.append(Picture(stem, title, caption, name, files, path))


# ---- What pictures of results share ----

def drawable(vector):
    """Whether the values have a place on an axis: matplotlib adds and squares them in float64."""
    low, high = vector.attributes["min"], vector.attributes["max"]
    return (np.isfinite(low) and max(abs(low), abs(high)) < EXTREME
            and (high == low or high - low > 1 / EXTREME))


def label_of(approach, bits):
    return f"{approach} {bits} bit"


def label(result):
    return label_of(result.approach, result.num_bits)


def by_width(results):
    """Results by bit width, ascending."""
    found = {}
    for result in sorted(results, key=lambda r: r.num_bits):
        found.setdefault(result.num_bits, []).append(result)
    return found


def describe(vector):
    """float32, 3 × 100 = 300 values."""
    shape = " × ".join(f"{s:,}" for s in vector.shape)
    values = words.count(vector.n, "value")
    return f"{vector.dtype}, " + (f"{shape} = {values}" if len(vector.shape) > 1 else values)


def heading(figure, title):
    figure.suptitle(verbatim(title), x=0.01, ha="left", fontsize=STYLE["figure.titlesize"])


def legend_row(axes, handles, labels, columns=4):
    """A legend in axes of its own, where it covers nothing."""
    axes.set_axis_off()
    axes.legend(handles, labels, loc="center left", ncol=columns, borderaxespad=0)


def legend_beside(axes):
    """A legend to the right of its axes, where it covers nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def density_axes(axes, tallest, least):
    """A logarithmic axis where the small would not be seen beside the tall; returns its floor, for
    there an empty bin has no bottom."""
    floor = least / 2 if tallest > 50 * least else 0.0
    axes.set_yscale("log" if floor else "linear")
    axes.set_ylim(floor, tallest * (2 if floor else 1.1))
    return floor


def label_log(axes):
    """Labels that tell values on a logarithmic axis which holds less than two powers of ten."""
    low, high = axes.get_ylim()
    if axes.get_yscale() != "log" or high > 100 * low:
        return
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain)


def note(figure, text):
    """Small print below everything."""
    width = int(15 * figure.get_figwidth())
    lines = textwrap.fill(verbatim(text), width, break_on_hyphens=False)
    figure.supxlabel(lines, fontsize=8, color=GREY)


def grouped(results):
    """easyquant at 3 and 4 bit; uniform at 2 bit."""
    found = {}
    for result in results:
        found.setdefault(result.approach, []).append(str(result.num_bits))
    return "; ".join(f"{name} at {words.joined(bits, 8)} bit" for name, bits in found.items())

