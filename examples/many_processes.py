"""One network trained by many processes over MPI: each has its rows, all have the same weights after every step.

    mpiexec -n 2 python many_processes.py      # needs: pip install "fastbp[mpi]" mpich
    python many_processes.py                   # one process: the same program, the same result

The table is cut into four slices, whatever the number of processes. With ``reproducible=True`` the weights have the
same bits for 1, 2 and 4 processes; the program prints a digest of them.
"""

import hashlib

import numpy as np
from mpi4py import MPI

import fastbp

ranks = MPI.COMM_WORLD

# A table that every process can make. A real program reads the rows of its rank alone: from a memory map, or a file.
rng = np.random.default_rng(0)
n = 8000
x = rng.normal(size=(n, 20)).astype("float32")
y = (x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) > 0).astype(int)
mine = slice(ranks.rank * n // ranks.size, (ranks.rank + 1) * n // ranks.size)

layers = [fastbp.Dense(64, activation="relu"), fastbp.Dropout(0.1), fastbp.Dense(64, activation="relu")]
model = fastbp.Sequential([*layers, fastbp.Dense(2, activation="softmax")], seed=0)
model.compile(optimizer=fastbp.Adam(3e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

# Callbacks run in the first process. With fastbp.BackupAndRestore("run") among them, a job that was broken off goes on
# from its last whole epoch, on as many processes as there are then.
history = fastbp.distributed.fit(
    model,
    x[mine],
    y[mine],
    epochs=15,
    batch_size=64,
    validation_split=0.2,
    callbacks=[fastbp.EarlyStopping(monitor="val_loss", patience=5)],
    slices=4,
    reproducible=True,
    verbose=2,
)

if ranks.rank == 0:
    print(f"{ranks.size} process{'es' if ranks.size > 1 else ''}, {model.step} steps")
    print(f"accuracy on the validation rows of all processes: {history.history['val_accuracy'][-1]:.3f}")
    print(f"the weights' digest: {hashlib.sha256(model.params.tobytes()).hexdigest()[:16]}")
assert history.history["val_accuracy"][-1] > 0.85
