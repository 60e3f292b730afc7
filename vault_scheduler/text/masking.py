"""Secrets never leave the machine in what we write: masked in the stream, before anything is cut (rule 7)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = b"[masked]"
SHORTEST_SECRET = 8
"""Characters. Shorter values are words and numbers that would be masked all over a note."""

_LONGEST_CHAIN = 64 * 1024
_LINE_ENDS = b"\r\n"
_LEFT_AS_THEY_ARE = ("", "/", "!'()*", "!'()*;,/?:@&=+$#", "$&+=:@", "*")
"""What URL encoders leave: RFC 3986, Python, JavaScript (a component, a whole URL), Go, Java."""
_SEED = 4  # bytes that are searched for before more is compared


class Masker:
    """Replaces secrets in a stream of bytes, however it is split; raw, base64, URL-encoded and JSON-escaped.

    Only values of at least 8 characters count. What has been fed comes back at once, except a tail that could
    be the beginning of a secret: it waits for the next `feed` or for `flush`.
    """

    def __init__(self, values: Sequence[str]) -> None:
        secrets = [value for value in values if len(value) >= SHORTEST_SECRET]
        self._plain = _distinct(form for value in secrets for form in _plain_forms(value))
        self._base64 = _distinct(form for value in secrets for form in _base64_forms(value))
        # `base64` breaks its output into lines, so a line end may stand between any two characters.
        self._wrapped = [re.compile(rb"(?:\r?\n)?".join(re.escape(bytes([c])) for c in form)) for form in self._base64]
        longest = [len(form) for form in self._plain] + [3 * len(form) for form in self._base64]
        self._reach = max(longest, default=0)
        self._held = b""
        self._inside = False  # the held bytes begin within a secret whose mask was already given out

    def feed(self, data: bytes) -> bytes:
        """The bytes that can be given out now, masked."""
        if not self._reach:
            return data
        buffer = self._held + data
        spans = self._spans(buffer)
        cut = self._cut(buffer, spans)
        if len(buffer) - cut > _LONGEST_CHAIN:
            return self._give_out_chain(buffer, spans, cut)
        self._held = buffer[cut:]
        return self._replace(buffer[:cut], [span for span in spans if span[0] < cut])

    def flush(self) -> bytes:
        """What was held back, masked; call it once, at the end of the stream."""
        buffer, self._held = self._held, b""
        return self._replace(buffer, self._spans(buffer))

    def mask_text(self, text: str) -> str:
        """A whole text, masked."""
        data = text.encode("utf-8", "surrogatepass")
        return self._fresh()._whole(data).decode("utf-8", "surrogatepass") if self._reach else text

    def _fresh(self) -> Masker:
        other = Masker(())
        other._plain, other._base64, other._wrapped = self._plain, self._base64, self._wrapped
        other._reach = self._reach
        return other

    def _whole(self, data: bytes) -> bytes:
        return self._replace(data, self._spans(data))

    def _replace(self, data: bytes, spans: list[tuple[int, int]]) -> bytes:
        parts: list[bytes] = []
        at = 0
        for start, end in spans:
            parts.append(data[at:start])
            if not (start == 0 and self._inside):
                parts.append(MASK)
            at = end
        if data:
            self._inside = False
        return b"".join([*parts, data[at:]])

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where secrets stand: ascending, overlapping ones joined."""
        found = sorted([*self._plain_spans(data), *self._base64_spans(data)])
        joined: list[tuple[int, int]] = []
        for start, end in found:
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def _plain_spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        for form in self._plain:
            at = data.find(form)
            while at >= 0:
                yield at, at + len(form)
                # Of those that overlap this one the last is enough: all between are joined with both.
                last = data.rfind(form, at + 1, at + 2 * len(form) - 1)
                at = last if last >= 0 else data.find(form, at + len(form))

    def _base64_spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        squeezed = data.translate(None, _LINE_ENDS)
        for form, pattern in zip(self._base64, self._wrapped, strict=True):
            if form in squeezed:
                match = pattern.search(data)
                while match:
                    yield match.span()
                    match = pattern.search(data, match.start() + 1)

    def _cut(self, buffer: bytes, spans: list[tuple[int, int]]) -> int:
        """Up to where the buffer is decided: nothing from there on can be part of an unfinished secret."""
        cut = min(_unfinished(buffer, self._plain), self._unfinished_base64(buffer))
        for start, end in reversed(spans):
            if start < cut < end:
                cut = start
        return cut

    def _unfinished_base64(self, buffer: bytes) -> int:
        squeezed = buffer[-self._reach :].translate(None, _LINE_ENDS)
        missing = len(squeezed) - _unfinished(squeezed, self._base64)
        at = len(buffer)
        while missing:
            at -= 1
            missing -= buffer[at] not in _LINE_ENDS
        return at

    def _give_out_chain(self, buffer: bytes, spans: list[tuple[int, int]], cut: int) -> bytes:
        """A secret that repeats into itself without end must not fill the memory: mask what is there."""
        keep = len(buffer) - self._reach
        given = self._replace(buffer[:keep], [(s, min(e, keep)) for s, e in spans if s < keep])
        self._held = buffer[keep:]
        self._inside = any(start < keep < end for start, end in spans)
        return given


def _unfinished(data: bytes, forms: Sequence[bytes]) -> int:
    """Where the earliest beginning of a form stands that the data end in; their length if there is none.

    A loop over every place would take a tenth of a second for each piece of output beside a key file.
    """
    return min((_unfinished_one(data, form) for form in forms), default=len(data))


def _unfinished_one(data: bytes, form: bytes) -> int:
    seed = form[:_SEED]
    at = data.find(seed, max(0, len(data) - len(form) + 1))
    while at >= 0:
        if form.startswith(data[at:]):
            return at
        at = data.find(seed, at + 1)
    short = next((length for length in range(_SEED - 1, 0, -1) if data.endswith(form[:length])), 0)
    return len(data) - short


def _distinct(forms: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted({form for form in forms if len(form) >= SHORTEST_SECRET}))


def _plain_forms(value: str) -> Iterator[bytes]:
    raw = _encoded(value)
    yield raw
    yield from (line for line in raw.splitlines() if len(line) >= 2 * SHORTEST_SECRET)  # a key file's lines
    for ascii_only in (True, False):
        yield json.dumps(value, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogatepass")
    for text in (encode(raw, safe=kept) for encode in (quote, quote_plus) for kept in _LEFT_AS_THEY_ARE):
        yield text.encode()
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), text).encode()


def _base64_forms(value: str) -> Iterator[bytes]:
    """The characters that the value alone decides, for each place it can have in the encoded text."""
    raw = _encoded(value)
    for offset in range(3):
        bits_before, bits = 8 * offset, 8 * len(raw)
        first, last = -(-bits_before // 6), (bits_before + bits) // 6
        padded = b"\0" * offset + raw
        for encoded in (base64.b64encode(padded), base64.urlsafe_b64encode(padded)):
            yield encoded[first:last]


def _encoded(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
