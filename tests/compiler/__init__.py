# What a process begins with that compiles: collecting garbage takes a tenth of its time.
NO_GARBAGE = "import gc; gc.disable()\n"
