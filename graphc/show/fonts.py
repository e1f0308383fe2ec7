"""Text widths without a font file: the room that a line of text needs, for layout and for pictures.

A picture in text mode does not know which font its reader has, so a width here is an upper bound.  Each
advance is the largest of DejaVu Sans and Verdana, the first two families in `SANS`, and of Arial's metrics,
which most others follow; `SAFETY` is added for hinting and the rest.  Widths are in the unit of `size`.

| characters                    | advance, in em                                             |
|-------------------------------|------------------------------------------------------------|
| ASCII                         | table per weight                                           |
| Greek, maths, super/subscript | one table, 1.06 times as wide in bold                      |
| accented Latin letters        | that of the base letter (canonical decomposition)          |
| combining marks               | 0                                                          |
| East Asian wide, emoji        | 1.3                                                        |
| anything else                 | 1                                                          |
| any, in the monospaced family | 0.602 (wide ones 1.3)                                      |

>>> round(text_width("x + y", 10), 2)
28.06
>>> text_width("x + y", 10, bold=True) > text_width("x + y", 10)
True
>>> shorten("a very long label", 10, 60)
'a very lo…'
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

SANS = ("DejaVu Sans", "Verdana", "sans-serif")
MONO = ("DejaVu Sans Mono", "Menlo", "Consolas", "monospace")

SAFETY = 1.03
ASCENT = 0.93
DESCENT = 0.24
CAP_HEIGHT = 0.73
LINE_HEIGHT = 1.25

_MONO_ADVANCE = 0.602
_WIDE_ADVANCE = 1.3
_BOLD_OTHER = 1.06

# Advances of U+0020 to U+007E, in 1/1000 em.
_ASCII_REGULAR = (
    351, 401, 460, 838, 636, 1076, 780, 275, 454, 454, 635, 838, 363, 454, 363, 454, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 454, 454, 838, 838, 838, 545, 1000, 684, 686, 722, 770, 667,
    611, 775, 752, 420, 500, 692, 557, 863, 748, 787, 667, 787, 722, 683, 616, 732, 684, 989, 685,
    667, 685, 454, 454, 454, 838, 635, 635, 613, 635, 550, 635, 615, 352, 635, 634, 278, 344, 591,
    278, 974, 634, 612, 635, 635, 426, 521, 394, 634, 592, 818, 592, 592, 525, 636, 454, 636, 838,
)  # fmt: skip
_ASCII_BOLD = (
    348, 456, 587, 867, 710, 1271, 872, 332, 543, 543, 710, 867, 380, 479, 380, 689, 710, 710, 710,
    710, 710, 710, 710, 710, 710, 710, 402, 402, 867, 867, 867, 616, 1000, 776, 762, 734, 830, 683,
    683, 821, 837, 545, 555, 775, 637, 995, 846, 850, 733, 850, 782, 720, 682, 812, 774, 1128, 771,
    736, 725, 543, 689, 543, 867, 710, 710, 675, 716, 593, 716, 678, 435, 716, 712, 343, 402, 670,
    343, 1058, 712, 687, 716, 716, 497, 595, 478, 712, 652, 979, 668, 652, 596, 712, 543, 712, 867,
)  # fmt: skip

# Greek, maths and typographic characters, grouped by advance in 1/1000 em.
_OTHER_GROUPS = {
    220: "ᵢⱼ",
    260: "′",
    360: "Ι⋅‘’",
    380: "ι·",
    420: "ᵀ",
    440: "⟨⟩″ⁿ",
    460: "ℓ",
    500: "‖",
    520: "∂",
    540: "⁺⁻₊₋",
    560: "εζξ°",
    580: "∫¹²³⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉",
    600: "λς",
    620: "Γτχϵ“”",
    640: "Ξυ√∘",
    660: "ΕΣΤαγδθνο∃",
    680: "βηκρ∇–",
    700: "ΖΡΥμ",
    720: "Β∑",
    740: "ΑΔΚΛΧσφ∀",
    760: "πψϕ",
    800: "ΗΝΠℝ",
    820: "ΘΟΦΨΩ∏",
    840: "ω×÷±−∞≈≠≤≥≡∗⊙⊗⊕↦↩⇒",
    880: "∈∉",
    940: "Μ",
    1000: "⋯…—→←↑↓",
    1120: "½",
}
_OTHER = {character: advance for advance, group in _OTHER_GROUPS.items() for character in group}


@lru_cache(maxsize=4096)
def advance(character: str, *, bold: bool = False, mono: bool = False) -> float:
    """Upper bound of one character's advance width, in em.

    >>> advance("W"), advance("é") == advance("e"), advance("σ")
    (0.989, True, 0.74)
    """
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF" or ord(character) >= 0x1F000:
        return _WIDE_ADVANCE
    if mono:
        return _MONO_ADVANCE
    ascii_table = _ASCII_BOLD if bold else _ASCII_REGULAR
    base = character
    if ord(base) > 0x7E and base not in _OTHER:
        base = unicodedata.normalize("NFD", base)[0]
    if " " <= base <= "~":
        return ascii_table[ord(base) - 0x20] / 1000
    return _OTHER.get(base, 1000) / 1000 * (_BOLD_OTHER if bold else 1.0)


def text_width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Upper bound of the width of one line of `text` set at `size`, in the unit of `size`."""
    return sum(advance(c, bold=bold, mono=mono) for c in text) * size * SAFETY


def lines_width(lines: Sequence[str], size: float, *, bold: bool = False, mono: bool = False) -> float:
    """The widest of several lines; 0 for none."""
    return max((text_width(line, size, bold=bold, mono=mono) for line in lines), default=0.0)


def shorten(text: str, size: float, limit: float, *, bold: bool = False, mono: bool = False) -> str:
    """`text`, or a beginning of it with "…" that is no wider than `limit`; at least the "…" is kept."""
    if text_width(text, size, bold=bold, mono=mono) <= limit:
        return text
    room = limit - text_width("…", size, bold=bold, mono=mono)
    used, kept = 0.0, 0
    for character in text:
        used += advance(character, bold=bold, mono=mono) * size * SAFETY
        if used > room:
            break
        kept += 1
    return text[:kept].rstrip() + "…"
