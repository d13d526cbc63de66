"""Which peers are there: a missing one is left out, and the comparison says so."""

import importlib.util
import subprocess
import sys

# What a peer needs, where that is not just the module of its name.
MODULES = {"jax-steps": ["jax"], "torch-compile": ["torch"], "onnxruntime": ["onnx", "onnxruntime"]}
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
    missing = [module for module in MODULES.get(name, [name]) if importlib.util.find_spec(module) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if name == "torch-compile":
        # It needs a C++ compiler, and Python's headers in some versions: only a trial tells.
        trial = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, check=False)
        if trial.returncode:
            errors = [line.strip() for line in trial.stderr.splitlines() if "Error" in line]
            return f"torch.compile failed, {[f'exit code {trial.returncode}', *errors][-1][:200]}"
    return None
