"""Whatever a run prints, its note, the daily log and its output note stay what they are (rule 7)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.torture.output_makers import faults, promised_forms, secrets, texts
from vault_scheduler.text.masking import Masker


@given(texts, texts, st.booleans())
@settings(deadline=None, max_examples=150)
def test_whatever_a_run_prints_is_text(text: str, reason: str, markdown: bool) -> None:
    """The note parses, the section is ours, nothing acts; as raw output, as an answer, and as a reason."""
    assert faults(text, reason, markdown=markdown) == []


@given(st.lists(secrets, min_size=1, max_size=3), st.lists(st.binary(max_size=4), max_size=4), st.data())
@settings(deadline=None, max_examples=100)
def test_no_promised_form_of_a_secret_passes(values: list[str], noise: list[bytes], data: st.DataObject) -> None:
    """Raw, base64, URL-encoded and JSON-escaped, whole or split over reads of any size."""
    forms = sorted(set.union(*map(promised_forms, values)))
    pieces = [data.draw(st.sampled_from(forms)), *noise, data.draw(st.sampled_from(forms))]
    stream = b"".join(data.draw(st.permutations(pieces)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    masker = Masker(values)
    ends = [*cuts, len(stream)]
    masked = b"".join(masker.feed(stream[a:b]) for a, b in zip([0, *cuts], ends, strict=True)) + masker.flush()
    assert not [form for form in forms if form in masked.replace(b"[masked]", b"\0")]
