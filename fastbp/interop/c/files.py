"""A `Program` as the text of a C file and of its header."""

import json
import re

from fastbp.interop.c.program import commented
from fastbp.io.files import replace_file

SOURCE = """/* {title}

   Written by fastbp {version}.  C99 and its library only (link with -lm).
   Nothing is allocated, nothing static is written. */

#include "{header}"

#include <math.h>
{includes}
{functions}
{constants}

void {name}_predict(const {type} *x, {type} *out, {real} *work)
{{
    (void)work;
    {body}
}}
"""
HEADER = """/* {title}

   Written by fastbp {version}.

   x: {takes}
   out: {gives} */

#ifndef {guard}
#define {guard}

#define {upper}_INPUTS {inputs}
#define {upper}_OUTPUTS {outputs}
#define {upper}_WORK {work}

#ifdef __cplusplus
extern "C" {{
#endif

{classes}/* One row.  The function may overwrite work; threads need one each. */
void {name}_predict(const {type} *x, {type} *out, {real} *work);

#ifdef __cplusplus
}}
#endif

#endif
"""


def write_files(path, program, facts):
    """Write a program to `path` and its header beside it."""
    from fastbp import __version__

    name = c_name(path.stem)
    header = path.with_suffix(".h")
    body = program.body()
    classes = facts.get("classes")
    shared = {
        "name": name,
        "upper": name.upper(),
        "version": __version__,
        "type": facts["type"],
        "real": program.real,
        "title": facts.get("title", f"A model of {facts['inputs']} inputs and {facts['outputs']} outputs."),
    }
    constants = program.constants()
    if classes is not None:
        texts = ", ".join(c_text(str(label)) for label in classes.tolist())
        constants.append(f"const char *const {name}_classes[{len(classes)}] = {{{texts}}};")
    source = SOURCE.format(
        **shared,
        header=header.name,
        includes="".join(f"#include <{one}>\n" for one in facts.get("includes", ())),
        functions="".join(program.helpers()),
        constants="\n\n".join(constants),
        body="\n    ".join(body),
    )
    declared = HEADER.format(
        **shared,
        guard=f"{name.upper()}_H",
        takes="\n      ".join(facts["takes"]),
        gives=gives(facts),
        inputs=facts["inputs"],
        outputs=facts["outputs"],
        work=max(program.work, 1),
        classes="" if classes is None else f"extern const char *const {name}_classes[{len(classes)}];\n\n",
    )
    replace_file(path, source.encode(), durable=True)
    replace_file(header, declared.encode(), durable=True)


def gives(facts):
    """Return what the outputs are."""
    return facts.get("gives") or ("the predictions" if facts.get("classes") is None else "the classes' probabilities")


def c_name(text):
    """Return a C name near a text."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII) or "model"
    return f"_{name}" if name[0].isdigit() else name


def c_text(text):
    """Return a C string of a text, in UTF-8; bytes beyond ASCII as octal escapes, which end by themselves."""
    shown = [
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    ]
    return f'"{"".join(shown)}"'


def name_in_comment(text):
    """Return a column's name for a comment."""
    return commented(json.dumps(text))
