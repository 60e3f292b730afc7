"""Where worlds under a fake clock have their files: in memory, for a disk would spend its time on thousands of fsyncs.

None of these tests is about the disk: what a power cut leaves is tried in `tests/process` and `tests/torture`.
"""

from __future__ import annotations

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
PLACE = MEMORY if os.access(MEMORY, os.W_OK) else None  # else where temporary files are
