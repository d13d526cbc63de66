"""Global pooling: out (n, c) = the largest entry, or the mean, of each channel.  The window is the whole image."""

from dataclasses import dataclass

from fastbp.layers.base import LAYERS, Layer
from fastbp.layers.convolution.pooling import Pooling, average_backward, average_forward, max_backward, max_forward
from fastbp.layers.convolution.windows import Windows


class GlobalPooling(Pooling):
    """What global pooling shares; `axes` is 1 or 2."""

    keepdims: bool

    def windows_of(self, shape: tuple[int, ...]) -> Windows:
        """Return the one window of an image of this shape."""
        return Windows(self, shape, shape[:2], shape[:2])

    def output_shape(self, counts: tuple[int, ...], channels: int) -> tuple[int, ...]:
        """Return the shape of a row of outputs."""
        return (*counts, channels) if self.keepdims else (channels,)


@LAYERS.register("GlobalAveragePooling2D")
@dataclass
class GlobalAveragePooling2D(GlobalPooling, Layer):
    """The mean of each channel of an image (Lin et al., 2014).

    Parameters
    ----------
    keepdims : bool, default False
        Keep the other axes, with the size 1.
    name : str, optional
        Default ``"globalaveragepooling2d"`` and so on.

    Raises
    ------
    ValueError
        Where `keepdims` is neither True nor False; at building, where inputs are no images.

    Notes
    -----
    Inputs ``(n, h, w, c)``, outputs ``(n, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.GlobalAveragePooling2D()], input_shape=(7, 7, 64)).output_shape
    (64,)
    """

    keepdims: bool = False
    name: str | None = None

    axes = 2
    forward, backward = average_forward, average_backward


@LAYERS.register("GlobalAveragePooling1D")
@dataclass
class GlobalAveragePooling1D(GlobalPooling, Layer):
    """The mean of each channel of a sequence.

    Parameters
    ----------
    keepdims : bool, default False
        Keep the other axis, with the size 1.
    name : str, optional

    Raises
    ------
    ValueError
        Where `keepdims` is neither True nor False; at building, where inputs are no sequences.

    Notes
    -----
    Inputs ``(n, t, c)``, outputs ``(n, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.GlobalAveragePooling1D()], input_shape=(24, 3)).output_shape
    (3,)
    """

    keepdims: bool = False
    name: str | None = None

    axes = 1
    forward, backward = average_forward, average_backward
    keras_mask = "would leave out masked time steps, fastbp's takes the mean over all"


@LAYERS.register("GlobalMaxPooling2D")
@dataclass
class GlobalMaxPooling2D(GlobalPooling, Layer):
    """The largest entry of each channel of an image.

    Parameters
    ----------
    keepdims : bool, default False
        Keep the other axes, with the size 1.
    name : str, optional
        Default ``"globalmaxpooling2d"`` and so on.

    Raises
    ------
    ValueError
        Where `keepdims` is neither True nor False; at building, where inputs are no images.

    Notes
    -----
    Inputs ``(n, h, w, c)``, outputs ``(n, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.GlobalMaxPooling2D(keepdims=True)], input_shape=(7, 7, 64)).output_shape
    (1, 1, 64)
    """

    keepdims: bool = False
    name: str | None = None

    axes = 2
    forward, backward = max_forward, max_backward


@LAYERS.register("GlobalMaxPooling1D")
@dataclass
class GlobalMaxPooling1D(GlobalPooling, Layer):
    """The largest entry of each channel of a sequence.

    Parameters
    ----------
    keepdims : bool, default False
        Keep the other axis, with the size 1.
    name : str, optional

    Raises
    ------
    ValueError
        Where `keepdims` is neither True nor False; at building, where inputs are no sequences.

    Notes
    -----
    Inputs ``(n, t, c)``, outputs ``(n, c)``.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.Sequential([fastbp.GlobalMaxPooling1D()], input_shape=(24, 3)).output_shape
    (3,)
    """

    keepdims: bool = False
    name: str | None = None

    axes = 1
    forward, backward = max_forward, max_backward
