"""The commands of ``fastbp``, one module each: HELP, add_arguments(parser), run(arguments)."""
