"""Every setting of the recurrent layers, for test_layers.py and test_recurrent.py."""

from fastbp import GRU, L1, L1L2, L2, LSTM, Bidirectional, Masking, Reshape, SimpleRNN

REGULARIZED = {
    "kernel_regularizer": L2(0.1),
    "recurrent_regularizer": L1L2(0.1, 0.2),
    "bias_regularizer": L1(0.1),
    "bias_initializer": "random_normal",
}
FACTORS = {
    f"{name}_{kind}_factor": 0.5 for name in ("kernel", "recurrent", "bias") for kind in ("learning_rate", "decay")
}


def settings_of(layer):
    """Return one layer of the class for each of the settings that all recurrent layers have."""
    return [
        layer(4),
        layer(1, "gelu", return_sequences=True, name="own"),
        layer(9, activation="relu", kernel_initializer="he_normal", recurrent_initializer="random_normal"),
        layer(3, use_bias=False, go_backwards=True),
        layer(3, return_sequences=True, zero_output_for_mask=True, **REGULARIZED),
        layer(3, **FACTORS),
        layer(3, stateful=True, batch_size=13),
        layer(3, dropout=0.4),
        layer(3, recurrent_dropout=0.3, return_sequences=True),
        layer(5, dropout=0.3, recurrent_dropout=0.5, go_backwards=True),
        layer(2, trainable=False, return_sequences=True, go_backwards=True),
    ]


def gated_settings_of(layer):
    """Return more layers of a class that has gates."""
    return [*settings_of(layer), layer(3, "linear", "hard_sigmoid"), layer(17, "silu", "gelu")]


CASES = {
    "SimpleRNN": settings_of(SimpleRNN),
    "LSTM": [*gated_settings_of(LSTM), LSTM(3, unit_forget_bias=False, bias_initializer="random_normal")],
    "GRU": [
        *gated_settings_of(GRU),
        *(GRU(u, reset_after=False, bias_initializer="random_normal", return_sequences=u > 3) for u in (1, 5)),
        GRU(4, reset_after=False, dropout=0.2, recurrent_dropout=0.3),
        GRU(3, "silu", "gelu", reset_after=False, use_bias=False, go_backwards=True),
    ],
    "Bidirectional": [
        Bidirectional(LSTM(3)),
        Bidirectional(GRU(2, return_sequences=True), "sum"),
        Bidirectional(SimpleRNN(3, return_sequences=True, name="both"), "mul", name="ways"),
        Bidirectional(GRU(3, reset_after=False), "ave"),
        Bidirectional(LSTM(2, return_sequences=True, trainable=False)),
        Bidirectional(GRU(2, dropout=0.4, recurrent_dropout=0.3)),
    ],
    "Masking": [
        Masking(),
        Masking(-1.5, name="gaps"),
    ],
}
# Three time steps of two numbers.
IN_FRONT = dict.fromkeys(CASES, Reshape((3, 2)))
