"""Conv1D: a sequence (n, t, c) is an image of height 1 (conv.py)."""

from dataclasses import dataclass
from typing import Any

from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.convolution.conv import Convolution


@LAYERS.register("Conv1D")
@dataclass
class Conv1D(Convolution, Layer):
    """Convolution of sequences: ``out = activation(windows @ kernel + bias)``.

    Parameters
    ----------
    filters : int
        Number of output channels, ``k``.
    kernel_size : int
        Steps of a window.
    strides : int, default 1
    padding : {"valid", "same", "causal"}, default "valid"
        "causal": zeros before the sequence only, so that no output depends on later steps (van den Oord et al., 2016).
    dilation_rate : int, default 1
    groups : int, default 1
    activation : str or activation object, optional
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str or initializer object
        Defaults ``"glorot_uniform"`` and ``"zeros"``.
    kernel_regularizer, bias_regularizer : str or regularizer object, optional
    kernel_constraint : MaxNorm, optional
    trainable : bool, default True
    name : str, optional
        Default ``"conv1d"``, ``"conv1d_1"`` and so on.

    Raises
    ------
    ValueError
        As `Conv2D`.

    Notes
    -----
    Inputs ``(n, t, c)``, kernel ``(kernel_size, c / groups, k)``, bias ``(k,)``, outputs ``(n, t', k)``; the settings
    are those of `Conv2D`.

    Examples
    --------
    >>> import fastbp
    >>> model = fastbp.Sequential([fastbp.Conv1D(8, 3, padding="causal", dilation_rate=4)], input_shape=(24, 2))
    >>> model.output_shape, model.views["conv1d/kernel"].shape
    ((24, 8), (3, 2, 8))
    """

    filters: int
    kernel_size: Any
    strides: Any = 1
    padding: str = "valid"
    dilation_rate: Any = 1
    groups: int = 1
    activation: Any = None
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"
    bias_initializer: Any = "zeros"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    trainable: bool = True
    name: str | None = None

    axes = 1
