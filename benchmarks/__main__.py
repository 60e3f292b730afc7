"""`make bench`: all benchmarks, one after the other, and docs/performance.md from what they found.

`python benchmarks [--full] [NAME …]` runs those alone; the page is written from the last findings of all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from support.page import write_page
from support.program import KEPT

HERE = Path(__file__).parent


def main() -> None:
    """Run them, each in a process of its own."""
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    parser = argparse.ArgumentParser(description="Run benchmarks, and write docs/performance.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones; all by default: {', '.join(known)}")
    parser.add_argument("--full", action="store_true", help="at full length")
    parser.add_argument("--page-only", action="store_true", help="write the page from the last findings")
    options = parser.parse_args()
    failed = []
    for name in [] if options.page_only else options.names or known:
        command = [sys.executable, str(HERE / f"{name}.py"), "--keep", str(KEPT / f"{name}.json")]
        if subprocess.run(command + ["--full"] * options.full, check=False).returncode:
            failed.append(name)
    write_page(KEPT)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
