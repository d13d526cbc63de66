"""LambdaCallback: functions of one's own as a callback."""

from collections.abc import Callable

from fastbp.callbacks.base import Callback


class LambdaCallback(Callback):
    """Call functions of one's own.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable (epoch, logs), optional
    on_train_begin, on_train_end : callable (logs), optional
    on_train_batch_begin, on_train_batch_end : callable (batch, logs), optional
        They cost a compiled call a batch: see `Callback.on_train_batch_begin`.

    Raises
    ------
    TypeError
        Where one is no function.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> model = fastbp.Sequential([fastbp.Dense(1, kernel_initializer="zeros")], input_shape=(2,))
    >>> model.compile(fastbp.SGD(0.5), "mse")
    >>> tell = fastbp.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> history = model.fit(np.eye(2), [2.0, 2.0], epochs=2, callbacks=[tell], verbose=0)
    0 4.0
    1 1.0
    """

    def __init__(
        self,
        on_epoch_begin: Callable | None = None,
        on_epoch_end: Callable | None = None,
        on_train_begin: Callable | None = None,
        on_train_end: Callable | None = None,
        on_train_batch_begin: Callable | None = None,
        on_train_batch_end: Callable | None = None,
    ):
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback({name}={function!r}): it is a function.")
            setattr(self, name, function)
