"""What `fastbp COMMAND --help` prints, as Markdown that the guide includes."""

import os
from pathlib import Path
from unittest.mock import patch

from fastbp.commands.main import COMMANDS, build_parser


def write(path):
    """Write a section for each command; the file keeps its time where nothing changed."""
    parts = []
    with patch.dict(os.environ, COLUMNS="92"):
        subparsers = next(action for action in build_parser()._actions if action.choices)
        for name in COMMANDS:
            text = subparsers.choices[name].format_help().rstrip()
            parts.append(f"### fastbp {name}\n\n```text\n{text}\n```\n")
    path, text = Path(path), "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
