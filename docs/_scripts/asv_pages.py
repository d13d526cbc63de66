"""The pages of `asv publish` as a part of the site, where `asv run` has stored results on this machine.

asv's pages draw their graphs with scripts from a network; the pages of the site itself need none.
"""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / ".asv" / "results"
EXTRA = ROOT / "docs" / "_written" / "extra"

THERE = '<a href="asv/index.html">Here they are</a>, with their machines and commits; their graphs need a network.'
NOT_THERE = "This copy of the site was built where no asv results are stored, so it has none of them."


def publish():
    """Write asv's pages below `EXTRA`; return what the page on benchmarks says of them, in Markdown."""
    shutil.rmtree(EXTRA, ignore_errors=True)
    EXTRA.mkdir(parents=True)
    stored = [path for path in RESULTS.glob("*/*.json") if path.name != "machine.json"]
    if not stored or shutil.which("asv") is None:
        return NOT_THERE
    command = ["asv", "publish", "--html-dir", str(EXTRA / "asv")]
    subprocess.run(command, cwd=ROOT / "asv_benchmarks", check=True, capture_output=True)
    return THERE
