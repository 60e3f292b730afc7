from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vault_scheduler.text.masking import Masker

SECRET = "tok/en+with&signs=42"


def masked(data: bytes, *secrets: str) -> bytes:
    masker = Masker(secrets)
    return masker.feed(data) + masker.flush()


FORMS = [
    (SECRET.encode(), "raw"),
    (quote(SECRET).encode(), "URL-encoded, slashes kept"),
    (quote(SECRET, safe="").encode(), "URL-encoded, slashes too"),
    (quote_plus(SECRET).encode(), "form-encoded"),
    (quote(SECRET, safe="").lower().encode(), "URL-encoded in lower case"),
]


@pytest.mark.parametrize(("form", "case"), FORMS, ids=[case for _, case in FORMS])
def test_a_secret_is_masked_in_every_plain_form(form: bytes, case: str) -> None:
    """Raw and URL-encoded secrets are replaced, the rest stays."""
    assert masked(b"before " + form + b" after", SECRET) == b"before [masked] after"


@pytest.mark.parametrize("offset", [0, 1, 2])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_inside_base64_is_masked_at_every_alignment(offset: int, encode: object) -> None:
    """Wherever the secret stands in the encoded text, nothing of it but the edge characters is left."""
    assert callable(encode)
    data = encode(b"x" * offset + SECRET.encode() + b"yyyy")
    result = masked(data, SECRET)
    assert b"[masked]" in result
    left = result.replace(b"[masked]", b"")
    assert len(left) <= len(data) - (8 * len(SECRET) // 6 - 1)


def test_base64_that_is_broken_into_lines_is_masked() -> None:
    """`base64` breaks lines at 76 characters; a long token does not slip through the break."""
    secret = "sk-" + "".join(chr(97 + n % 26) for n in range(105))
    assert masked(base64.encodebytes(secret.encode()), secret).count(b"[masked]") == 1


def test_a_secret_with_quotes_is_masked_in_json() -> None:
    """A JSON-escaped secret is a secret."""
    secret = 'pass"word\\1'
    assert secret[:4].encode() not in masked(json.dumps({"a": secret}).encode(), secret)


def test_a_secret_that_begins_with_a_line_end_is_masked_however_it_is_split() -> None:
    """A quoted value may begin on the next line; its first byte is no reason to let it go."""
    for secret in ("\nline one\nline two", "\r\n--key--"):
        data = b"before" + secret.encode() + b"after"
        for size in (1, 2, 3, 7):
            masker = Masker([secret])
            pieces = [masker.feed(data[at : at + size]) for at in range(0, len(data), size)]
            assert b"".join([*pieces, masker.flush()]) == b"before[masked]after"


def test_short_values_are_left_alone() -> None:
    """Seven characters are a word, not a secret."""
    assert masked(b"hunter2 hunter2", "hunter2") == b"hunter2 hunter2"


def test_a_key_files_lines_are_masked_one_by_one() -> None:
    """Each long line of a secret of several lines is masked, indented or not."""
    secret = "-----BEGIN KEY-----\nAAAABBBBCCCCDDDDEEEE\n-----END KEY-----"
    assert b"AAAABBBB" not in masked(b"  AAAABBBBCCCCDDDDEEEE\n", secret)


def test_overlapping_secrets_leave_no_rest() -> None:
    """Where two secrets share characters both are masked."""
    assert masked(b"[abcdefghijklmn]", "abcdefghij", "ghijklmn") == b"[[masked]]"


def test_ordinary_output_is_given_out_at_once() -> None:
    """Only what may be the beginning of a secret waits."""
    masker = Masker([SECRET])
    assert masker.feed(b"line\n") == b"line\n"
    assert masker.feed(b"tok/en+w") == b""
    assert masker.feed(b"!") == b"tok/en+w!"


def test_a_text_is_masked_whole() -> None:
    """`mask_text` needs no stream and disturbs none."""
    masker = Masker([SECRET])
    assert masker.feed(b"tok/en") == b""
    assert masker.mask_text(f"ä {SECRET} \udcff") == "ä [masked] \udcff"
    assert masker.feed(SECRET[6:].encode()) + masker.flush() == b"[masked]"


def test_no_secrets_change_nothing() -> None:
    """Without secrets the bytes pass."""
    masker = Masker([])
    assert masker.feed(b"\xff\x00") + masker.flush() == b"\xff\x00"
    assert masker.mask_text("a\ud800") == "a\ud800"


def test_a_secret_that_runs_into_itself_does_not_fill_the_memory() -> None:
    """An endless chain of overlapping matches is given out as it comes, without the secret."""
    masker = Masker(["aaaaaaaa"])
    given = b"".join(masker.feed(b"a" * 8192) for _ in range(12)) + masker.feed(b"!") + masker.flush()
    assert b"aaaaaaaa" not in given
    assert given.endswith(b"!")
    assert len(given) < 100


PIECES = st.sampled_from(
    [b"a", b"\n", b" ", b"abcabcab", b"cabcabca", SECRET.encode(), SECRET[:9].encode(), SECRET[9:].encode()]
    + [base64.b64encode(b"-" * n + SECRET.encode()) for n in range(3)]
    + [base64.encodebytes(b"-" * 50 + SECRET.encode()), quote(SECRET, safe="").encode()]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(st.integers(0, 300), max_size=12))
def test_how_the_stream_is_split_makes_no_difference(pieces: list[bytes], cuts: list[int]) -> None:
    """Any split of the stream gives the same bytes as the whole."""
    data = b"".join(pieces)
    secrets = [SECRET, "abcabcab", "abcabcabcabc"]
    masker, given, at = Masker(secrets), b"", 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        given += masker.feed(data[at:cut])
        at = cut
    given += masker.flush()
    assert given == masked(data, *secrets)
    assert SECRET.encode() not in given
