"""Data that YAML's readers quarrel about."""

from __future__ import annotations

from hypothesis import strategies as st

# Texts that some reader of YAML 1.1, of 1.2, or Go takes for a number, a date or a truth value.
AMBIGUOUS = (
    *("y", "N", "yes", "No", "ON", "off", "true", "FALSE", "null", "Null", "~", "", "=", "<<"),
    *("089012345678", "12e4567", "12e45", "0", "-1", "+1", "1_000", "1,000", "0x1F", "0o17", "017"),
    *("0b11", "-0b11", "0b-11", "1.5", ".5", "1.", "1e3", "1E+3", "6.02e23", "0x1p-2", "-_1", "08"),
    *(".inf", "-.Inf", "+.INF", ".nan", ".NaN", "nan", "Inf", "1:30", "190:20:30.15", "0_x1F"),
    *("2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43", "1e"),
    *("- a", "a: b", "a #b", "#a", "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "{a", "[a", "? a"),
    *(" a", "a ", "\ta", "a\t", "\n", "a\n\n", "\na", "  a\nb", "a\n  b\n", "a \nb", "'", '"'),
    *("\u2028  a", "a\x85b", "\ufeffa", "\x7f", "\x00", "😀", "\r\n", "---", "...", "--- a", "a\r"),
)

_texts = (
    st.text() | st.sampled_from(AMBIGUOUS) | st.from_regex(r"[-+.0-9eExob_:]{1,8}", fullmatch=True)
)
_numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)

# What JSON, and so Kubernetes, can hold.
DATA = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=10,
)
