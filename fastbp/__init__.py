"""fastbp: neural networks trained by backpropagation on the CPU, in compiled steps.

Names load what they need when they are first used: `import fastbp` itself does no work.
"""

from importlib import import_module

__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "models.sequential": ["Sequential"],
    "interop.keras": ["from_keras", "to_keras_weights"],
    "estimators": ["MLPClassifier", "MLPRegressor"],
    "tabular.classifier": ["TabularClassifier"],
    "tabular.crossvalidation": ["cross_validate"],
    "tabular.regressor": ["TabularRegressor"],
    "tabular.tablewarning": ["TableWarning"],
    "settings.deprecated": ["FastbpDeprecationWarning"],
    "io.load": ["load_model"],
    "reporting.report": ["report"],
    "io.saving": ["ModelFileError"],
    "engine.divergence": ["TrainingDiverged"],
    "models.gradcheck": ["check_gradients"],
    "models.datainit": ["initialize_from_data"],
    "engine.threads": ["get_num_threads", "set_num_threads"],
    "io.idx": ["read_idx"],
    "layers.core.activation": ["Activation"],
    "layers.base": ["Layer"],
    "layers.normalization.batchnorm": ["BatchNormalization"],
    "layers.recurrent.bidirectional": ["Bidirectional"],
    "layers.core.branches": ["Concatenate", "Residual"],
    "layers.tables.categories": ["CategoryEmbedding", "OneHot"],
    "layers.tables.columns": ["Columns"],
    "layers.convolution.conv": ["Conv1D", "Conv2D"],
    "layers.core.dense": ["Dense"],
    "layers.convolution.depthwise": ["DepthwiseConv2D"],
    "layers.core.dropout": ["Dropout"],
    "layers.tables.embedding": ["Embedding"],
    "layers.convolution.globalpooling": [
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
    ],
    "layers.recurrent.gru": ["GRU"],
    "layers.normalization.layernorm": ["LayerNormalization", "RMSNormalization"],
    "layers.recurrent.lstm": ["LSTM"],
    "layers.recurrent.masking": ["Masking"],
    "layers.members.members": ["MemberDense", "MemberMean", "RepeatMembers"],
    "layers.core.noise": ["AlphaDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D"],
    "layers.convolution.padding": ["ZeroPadding1D", "ZeroPadding2D"],
    "layers.tables.parametric": ["ParametricActivation"],
    "layers.tables.periodic": ["PeriodicEmbedding"],
    "layers.tables.piecewise": ["PiecewiseLinearEmbedding"],
    "layers.convolution.pooling": ["AveragePooling1D", "AveragePooling2D", "MaxPooling1D", "MaxPooling2D"],
    "layers.core.prelu": ["PReLU"],
    "layers.core.reshape": ["Flatten", "Reshape"],
    "layers.recurrent.rnn": ["SimpleRNN"],
    "layers.tables.scaling": ["Scaling"],
    "losses": [
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "CustomLoss",
        "Hinge",
        "Huber",
        "MeanAbsoluteError",
        "MeanSquaredError",
        "MemberLoss",
        "Poisson",
        "QuantileLoss",
        "SparseCategoricalCrossentropy",
    ],
    "optimizers": ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "Nadam", "RMSprop"],
    "schedules": [
        "CosineDecay",
        "CosineDecayRestarts",
        "ExponentialDecay",
        "LogCosine",
        "OneCycle",
        "PiecewiseConstantDecay",
    ],
    "activations": ["ELU", "LeakyReLU"],
    "initializers": [
        "Constant",
        "FanInNormal",
        "FanInUniform",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "LecunNormal",
        "LecunUniform",
        "Ones",
        "Orthogonal",
        "MinusRandomProducts",
        "RandomNormal",
        "RandomSigns",
        "RandomUniform",
        "RepeatedColumns",
        "SameForMembers",
        "UnitVariance",
        "Zeros",
    ],
    "regularizers": ["L1", "L1L2", "L2", "MaxNorm"],
    "callbacks": [
        "CSVLogger",
        "Callback",
        "EarlyStopping",
        "History",
        "LambdaCallback",
        "ModelCheckpoint",
        "ReduceLROnPlateau",
    ],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


# Modules that users write with the package's name before them, loaded when touched.
_MODULES = (
    "activations",
    "callbacks",
    "custom",
    "explain",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
    "schedules",
)


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"fastbp.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}.{_nearest(name)}")
    value = getattr(import_module(f"fastbp.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def _nearest(name):
    if name.startswith("_"):  # tools ask for such names
        return ""
    from fastbp.settings.naming import nearest

    return nearest(name, [*__all__, *_MODULES])


def __dir__():
    return sorted({*globals(), *_HOME_OF, *_MODULES})
