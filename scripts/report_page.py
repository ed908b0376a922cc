# SPDX-License-Identifier: Apache-2.0
"""A page that needs nothing but itself: tags with everything escaped, tables, style and script.

    body = tag("p", "5 < 6: ", tag("b", vector.name))       only what tag() returns is markup
    page = document("A title", [body])

The page asks nobody for anything: its policy lets it load nothing but the images inside it.
"""
import base64
import collections
import html
import re
import struct

import words

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
VOID = {"meta", "link", "img", "br", "wbr"}

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #566373; --line: #d5dbe2;
  --paper: #ffffff; --shade: #f3f5f8; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #a0abb8; --line: #3a4450;
  --paper: #14181d; --shade: #1d232a; --link: #7db8f5; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 78rem; padding: 1.5rem clamp(0.9rem, 3vw, 2.5rem) 3rem;
  color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 0.3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem; padding-top: 0.8rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 0.4rem; overflow-wrap: anywhere; }
p, ul { margin: 0.5rem 0; max-width: 62rem; overflow-wrap: anywhere; }
li { margin: 0.2rem 0; }
a { color: var(--link); }
.soft, figcaption { color: var(--soft); font-size: 0.9rem; }
.notice { border-left: 4px solid #e69f00; padding: 0.3rem 0.8rem; background: var(--shade); }
.box { overflow-x: auto; margin: 0.6rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.28rem 0.55rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; }
thead th { background: var(--shade); vertical-align: bottom; }
th.text, td.text, tbody th { text-align: left; }
tbody th { font-weight: 500; }
thead th { white-space: normal; min-width: 4.5rem; }
td.long, tbody th.long { white-space: normal; overflow-wrap: break-word; min-width: 15rem; }
tr.marked td, tr.marked th { background: var(--shade); font-weight: 600; }
th.sorts { cursor: pointer; }
th.sorts::after { content: "\\00a0\\2195"; color: var(--soft); font-weight: 400; }
th[aria-sort=ascending]::after { content: "\\00a0\\2191"; }
th[aria-sort=descending]::after { content: "\\00a0\\2193"; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 0.6rem 0.8rem;
  background: var(--shade); font-size: 0.85rem; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; color: var(--link); overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.6rem; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff;
  border-radius: 4px; }
figcaption { margin-top: 0.4rem; max-width: 62rem; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); }
@media (max-width: 40rem) { figure img { width: calc(0.75 * var(--width)); max-width: none; } }
@media print { body { max-width: none; } .box { overflow: visible; }
  figure { break-inside: avoid; } }
"""

# Tables of class `sortable` sort by a click, or Enter, on a heading: numbers by data-v, which is
# exact, others by their text; what is no number comes last either way.
SCRIPT = """
"use strict";
function key(row, column) {
  const cell = row.cells[column];
  return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
}
function compare(a, b, sign) {
  if (typeof a === "number" && typeof b === "number") {
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a < b ? -1 : a > b ? 1 : 0);
  }
  return sign * String(a).localeCompare(String(b));
}
function sort(head) {
  const table = head.closest("table"), column = head.cellIndex;
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const rows = Array.from(table.tBodies[0].rows);
  rows.sort((a, b) => compare(key(a, column), key(b, column), sign));
  table.tBodies[0].append(...rows);
}
for (const head of document.querySelectorAll("table.sortable thead th")) {
  head.classList.add("sorts");
  head.tabIndex = 0;
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(head); });
}
"""


# ---- Tags ----

class Markup(str):
    """Text that is HTML already; all other text is escaped."""


def escape(text):
    """Also without the characters that no page may hold."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]",
                              "\N{REPLACEMENT CHARACTER}", str(text)))


def join(children):
    return Markup("".join(c if isinstance(c, Markup) else escape(c) for c in children))


def tag(name, /, *children, **attributes):
    """<name attribute="value">children</name>; class_ is class, data_v is data-v, None leaves an
    attribute out."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
                    for key, value in attributes.items() if value is not None)
    end = "" if name in VOID else f"{join(children)}</{name}>"
    return Markup(f"<{name}{written}>{end}")


def box(label, child):
    """What is wider than the screen scrolls in here, by keys too, and the page does not."""
    return tag("div", child, class_="box", role="region", aria_label=label, tabindex=0)


def details(summary, *children):
    return tag("details", tag("summary", summary), *children)


def picture(path, title, caption):
    """A PNG inside the page, with its size, so that nothing moves while it is decoded."""
    with open(path, "rb") as f:
        raw = f.read()
    width, height = struct.unpack(">II", raw[16:24])
    image = tag("img", src=f"data:image/png;base64,{base64.b64encode(raw).decode()}",
                alt=title, width=width, height=height, style=f"--width: {width}px")
    return tag("figure", box(title, image),
               tag("figcaption", tag("b", title), Markup("<br>"), caption))


# ---- Tables ----

class Number(collections.namedtuple("Number", "value text")):
    """A number that is shown by another text than words.number() makes of it."""


def is_long(text):
    return "long" if len(str(text)) > 24 else ""


def breakable(text):
    """A long name may be broken behind a slash."""
    first, *others = str(text).split("/")
    return join([first, *(part for other in others for part in ("/", tag("wbr"), other))])


def cell(value):
    """A number keeps its exact value for sorting, and for whoever reads the page by program."""
    if isinstance(value, (int, float)):
        value = Number(value, words.number(value))
    if isinstance(value, Number):
        exact = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
        return tag("td", value.text, data_v=exact.get(repr(value.value), repr(value.value)))
    return tag("td", breakable(value), class_=f"text {is_long(value)}".strip())


def row(values, marked=False):
    """The first of the values heads the row."""
    head = tag("th", breakable(values[0]), scope="row", class_=is_long(values[0]) or None)
    return tag("tr", head, *map(cell, values[1:]), class_="marked" if marked else None)


def captioned(caption, table_tag):
    """Above the box rather than in it: a caption is not to be scrolled."""
    return join([tag("p", caption, class_="soft"), box(caption, table_tag)])


def table(caption, heads, rows, marked=()):
    """heads are (text, explanation) or texts; rows lists that begin with what the row is of; rows
    of the numbers `marked` stand out. It can be sorted if there is something to sort."""
    heads = [(head, None) if isinstance(head, str) else head for head in heads]
    is_text = [not isinstance(value, (int, float, Number)) for value in (rows or [heads])[0]]
    top = [tag("th", text, scope="col", title=title, class_="text" if left else None)
           for (text, title), left in zip(heads, is_text)]
    body = [row(values, i in marked) for i, values in enumerate(rows)]
    return captioned(caption, tag("table", tag("thead", tag("tr", *top)), tag("tbody", *body),
                                  class_="sortable" if len(rows) > 2 else None))


def pairs(caption, items):
    """A table of names and values."""
    rows = [tag("tr", tag("th", name, scope="row"), cell(value)) for name, value in items]
    return captioned(caption, tag("table", tag("tbody", *rows)))


# ---- The page ----

def document(title, body):
    """A whole page."""
    head = tag("head",
               tag("meta", charset="utf-8"),
               tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="color-scheme", content="light dark"),
               tag("link", rel="icon", href="data:,"),
               tag("title", title),
               tag("style", Markup(STYLE)))
    script = tag("script", Markup(SCRIPT))
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", *body, script), lang="en") + "\n"
