"""Backends that joblib finds by name once this module has been imported: "dask", "ray" and "spark".

joblib itself knows only "dask" of these.  If a library is missing, the error says how to install it.
"""

from functools import partial
from importlib import import_module

# {backend: (a module that must be importable, the module and the name of the function that registers the backend (else
# joblib does it), what to install)}.
BACKENDS = {
    "dask": ("distributed", None, 'pip install "fastbp[dask]"'),
    "ray": ("ray", ("ray.util.joblib", "register_ray"), 'pip install "fastbp[ray]"'),
    "spark": ("pyspark", ("joblibspark", "register_spark"), "pip install pyspark joblibspark"),
}


def register_backends():
    """Have joblib register a backend when it is first asked for."""
    from joblib.parallel import EXTERNAL_BACKENDS

    for name in BACKENDS:
        EXTERNAL_BACKENDS[name] = partial(_register, name, EXTERNAL_BACKENDS.get(name))


def _register(name, by_joblib):
    needed, place, advice = BACKENDS[name]
    try:
        import_module(needed)
        register = by_joblib if place is None else getattr(import_module(place[0]), place[1])
    except ImportError as error:
        raise ImportError(f"joblib's backend {name!r} needs {needed}: {advice} ({error})") from None
    register()
