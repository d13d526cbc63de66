"""The CPU as LLVM knows it."""


def cpu_name():
    """Return LLVM's name of this machine's CPU."""
    from llvmlite import binding

    return binding.get_host_cpu_name()


def cpu_features():
    """Return {feature: is it there?} of this machine's CPU, by LLVM's names."""
    from llvmlite import binding

    return binding.get_host_cpu_features()
