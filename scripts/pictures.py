# SPDX-License-Identifier: Apache-2.0
"""What all pictures share: colours, markers, style, safe names, and writing with the numbers.

    figure = pictures.new_figure(8, 5)
    axes = figure.add_subplot()
    axes.plot(x, y, color=pictures.colour("easyquant"), marker=pictures.marker("easyquant"))
    files, table = pictures.save(figure, "small_rate", ["x", "y"], zip(x, y), folder, ["png"])

An approach has one colour and one marker in every picture of every run. Every picture is written
with a CSV file of the numbers that are drawn.
"""
import collections
import csv
import os
import re
import textwrap
import zlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  The backend has to be chosen first.
import numpy as np  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator  # noqa: E402

# What is drawn: name is the files' stem, caption one or two sentences for a reader, vector the name
# of the vector or None, files one path a format, csv the path of the numbers.
Picture = collections.namedtuple("Picture", "name title caption vector files csv")

APPROACHES = ("uniform", "non-uniform", "easyquant", "easyquant-uniform")
# Okabe and Ito's colours, which people with any colour vision tell apart. Yellow is too faint for
# lines on white, so grey stands in for it.
COLOURS = dict(zip(APPROACHES, ("#D55E00", "#0072B2", "#009E73", "#CC79A7")))
MARKERS = dict(zip(APPROACHES, "soD^"))
# What is left of them, for published tables and fixed levels.
TABLES = ("af4", "e2m1", "fp4", "iq4_nl", "nf4", "max16")
MORE_COLOURS = ("#56B4E9", "#777777", "#000000", "#8C510A", "#E69F00", "#A89A00")
MORE_MARKERS = "vPX*<>ph"

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

def place(approach):
    """A number of an approach that is not one of the four: fixed for the published tables, from the
    letters alone for any other, so that it does not depend on what else a run holds."""
    if approach in TABLES:
        return TABLES.index(approach)
    return zlib.crc32(approach.encode())


def colour(approach):
    """The approach's colour, the same in every picture."""
    return COLOURS.get(approach) or MORE_COLOURS[place(approach) % len(MORE_COLOURS)]


def marker(approach):
    """The approach's marker, which tells approaches apart where colours do not."""
    return MARKERS.get(approach) or MORE_MARKERS[place(approach) % len(MORE_MARKERS)]


def line(approach):
    """How to draw the approach's line: broken above an unbroken wider one, so that where two are
    the same both are seen."""
    style = {"easyquant": (0, (5, 3)), "easyquant-uniform": (0, (1.5, 1.5))}
    return {"color": colour(approach), "linewidth": 2.4 if approach == "non-uniform" else 1.5,
            "linestyle": style.get(approach, (0, (6, 2, 1, 2)) if is_table(approach) else "-")}


def is_table(approach):
    """Whether levels were given, up to a scale, rather than found."""
    return approach not in APPROACHES


def in_order(approaches):
    """Each once: the four, then others by name."""
    return sorted(set(approaches), key=lambda a: (APPROACHES.index(a) if a in APPROACHES else 9, a))


# ---- Words ----

def number(value, digits=4):
    """For a label: 0.00123, 1,234,567, 1.2e-7."""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{value:.{digits}g}"


def count(things, noun):
    """1 rank, 2 ranks."""
    return f"{things:,} {noun}" + ("" if things == 1 else "s")


def seconds(value):
    """A time with the unit that makes it readable."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return "0 s" if not value else f"{value * 1e9:.3g} ns"


def shortened(name, most=44):
    """A long name without its middle: what tells tensors apart stands mostly at the end."""
    if len(name) <= most:
        return name
    head = most // 4
    return name[:head] + "…" + name[head + 1 - most:]


def verbatim(text):
    """A name as it is: matplotlib takes what stands between two $ for mathematics."""
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


def unsupported(formats):
    """Those of the formats that cannot be drawn."""
    known = matplotlib.backend_bases.FigureCanvasBase.get_supported_filetypes()
    return [f for f in formats if f not in known]


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


def label(result):
    return f"{result.approach} {result.num_bits} bit"


def by_width(results):
    """Results by bit width, ascending."""
    found = {}
    for result in sorted(results, key=lambda r: r.num_bits):
        found.setdefault(result.num_bits, []).append(result)
    return found


def describe(vector):
    """float32, 3 × 100 = 300 values."""
    shape = " × ".join(f"{s:,}" for s in vector.shape)
    values = count(vector.n, "value")
    return f"{vector.dtype}, " + (f"{shape} = {values}" if len(vector.shape) > 1 else values)


def heading(figure, title):
    figure.suptitle(verbatim(title), x=0.01, ha="left", fontsize=STYLE["figure.titlesize"])


def legend_row(axes, handles, labels, columns=4):
    """A legend in axes of its own, where it covers nothing."""
    axes.set_axis_off()
    axes.legend(handles, labels, loc="center left", ncol=columns, borderaxespad=0)


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
    return "; ".join(f"{name} at {joined(bits, 8)} bit" for name, bits in found.items())


def joined(names, most=6):
    """a, b and c; of many the first, and how many more."""
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
