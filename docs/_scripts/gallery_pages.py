"""The gallery: the scripts of examples/, by task, each run while the site is built.

A script's docstring begins with a title (up to its first colon or full stop); the gallery wants it underlined, so it
gets copies.
"""

import ast
import shutil
from pathlib import Path

import gallery_pictures

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "docs" / "_written"
# Folder, heading, and scripts in their order; a script that stands nowhere goes to the last one.
TASKS = [
    (
        "tables",
        "Tables",
        [
            *("adult_like", "house_prices_quantiles", "tabular_ensemble", "explain_a_table", "report_page"),
            "cross_validation",
        ],
    ),
    (
        "first",
        "First networks",
        ["linear_regression", "logistic_regression", "xor", "regression_1d", "digits_softmax", "backprop_by_hand"],
    ),
    (
        "sequences_and_images",
        "Images, sequences, text",
        [
            *("digits_cnn", "lenet_mnist", "residual_and_inception", "autoencoder", "gan_2d"),
            *("sunspots_forecast", "sequence_masking", "character_model"),
        ],
    ),
    (
        "choosing",
        "Choosing and judging",
        [
            *("choosing_a_learning_rate", "compare_optimizers", "grid_search", "learning_curves", "confusion_matrix"),
            "early_stopping_and_resume",
        ],
    ),
    (
        "own",
        "Parts of one's own",
        ["own_loss", "own_activation", "own_layer", "custom_loss_and_metric", "scipy_minimize"],
    ),
    ("life", "A run's life: watch, explain, hand over, scale", []),
]


def configuration():
    """Write the copies and return the settings of sphinx_gallery."""
    gallery_pictures.listen()
    source = WRITTEN / "examples"
    shutil.rmtree(source, ignore_errors=True)
    scripts = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
    listed = {name for _, _, names in TASKS for name in names}
    if unknown := listed - scripts.keys():
        raise KeyError(f"examples/ has no {', '.join(sorted(unknown))}, which TASKS of {Path(__file__).name} names.")
    for folder, heading, names in TASKS:
        here = names or [name for name in scripts if name not in listed]
        _write_task(source / folder, heading, [scripts[name] for name in here])
    return {
        "examples_dirs": [str(source / folder) for folder, _, _ in TASKS],
        "gallery_dirs": [f"_written/gallery/{folder}" for folder, _, _ in TASKS],
        "filename_pattern": r"\.py$",
        "image_scrapers": (gallery_pictures.scrape,),
        "default_thumb_file": gallery_pictures.neutral(WRITTEN / "neutral.png"),
        "within_subsection_order": "FileNameSortKey",
        "download_all_examples": False,
        "show_signature": False,
        "show_memory": False,
        "write_computation_times": False,  # pages that load scripts from a network
        "abort_on_example_error": True,
        "remove_config_comments": True,
        "min_reported_time": 1000,
    }


def _write_task(folder, heading, scripts):
    folder.mkdir(parents=True)
    (folder / "GALLERY_HEADER.rst").write_text(f"{heading}\n{'=' * len(heading)}\n")
    for script in scripts:
        (folder / script.name).write_text(with_title(script.read_text()))


def with_title(source):
    """Return a script whose docstring's first sentence is an underlined title and a paragraph."""
    docstring = ast.get_docstring(ast.parse(source), clean=False)
    first, _, rest = docstring.partition("\n")
    title, colon, more = first.partition(": ")
    title = title.rstrip(".")
    paragraph = more[:1].upper() + more[1:] if colon else ""
    heading = f"{title}\n{'=' * len(title)}\n\n{paragraph}\n{rest}"
    # The gallery runs scripts without their docstring, which their help begins with.
    return source.replace("__doc__", repr(docstring)).replace(docstring, heading, 1)
