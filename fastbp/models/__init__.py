"""`Sequential` and what stands around it: arguments checked, summaries, gradient checks, what files hold of it."""
