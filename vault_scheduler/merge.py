"""Three-way merge of a note's lines: what one writer changed is laid over what another wrote."""

from __future__ import annotations
