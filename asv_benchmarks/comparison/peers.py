"""Which peers are there: a missing one is left out, and the comparison says so."""

import subprocess

from comparison.report import LIBRARIES
from comparison.workers import python_of

# What a peer needs, where that is not just the module of its name.
MODULES = {"jax-steps": ["jax"], "torch-compile": ["torch"], "onnxruntime": ["onnx", "onnxruntime"]}
MISSING = "import importlib.util, sys; print(*[m for m in sys.argv[1:] if importlib.util.find_spec(m) is None])"
VERSIONS = """
import platform, sys
from importlib.metadata import PackageNotFoundError, version
print("python", platform.python_version(), end="")
for name in sys.argv[1:]:
    try:
        print(",", name, version(name), end="")
    except PackageNotFoundError:
        pass
"""
COMPILE = "import torch; torch.compile(lambda x: x * 2)(torch.ones(3))"


def available(names, report):
    """Return the peers of `names` that work here; say of each other one why not."""
    reasons = {name: why_not(name) for name in names}
    for name, reason in reasons.items():
        if reason:
            report.say(f"{name} is left out: {reason}")
    return [name for name in names if not reasons[name]]


def why_not(name):
    """Return why a peer does not work here, or None."""
    python, modules = python_of(name), MODULES.get(name, [name])
    found = subprocess.run([python, "-c", MISSING, *modules], capture_output=True, text=True, check=False)
    if found.returncode:
        return f"{python} failed: {found.stderr.strip()[-200:]}"
    if missing := found.stdout.split():
        return f"{' and '.join(missing)} not installed"
    if name == "torch-compile":
        # It needs a C++ compiler, and Python's headers in some versions: only a trial tells.
        trial = subprocess.run([python, "-c", COMPILE], capture_output=True, text=True, check=False)
        if trial.returncode:
            errors = [line.strip() for line in trial.stderr.splitlines() if "Error" in line]
            return f"torch.compile failed, {[f'exit code {trial.returncode}', *errors][-1][:200]}"
    return None


def describe_pythons(pythons, report):
    """Say what runs in each peer's own Python."""
    for name, python in pythons.items():
        command = [python, "-c", VERSIONS, *LIBRARIES]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        report.say(f"{name} runs in an environment of its own: {found.stdout or found.stderr.strip()[-200:]}")
