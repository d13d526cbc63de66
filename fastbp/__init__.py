"""fastbp: neural networks trained by backpropagation on the CPU, in compiled steps.

Names load what they need when they are first used: `import fastbp` itself does no work.
"""

from importlib import import_module

__version__ = "0.1.0"

# Where each public name lives.
_HOMES = {
    "sequential": ["Sequential"],
    "interop.keras": ["from_keras", "to_keras_weights"],
    "estimators": ["MLPClassifier", "MLPRegressor"],
    "tabular.classifier": ["TabularClassifier"],
    "tabular.crossvalidation": ["cross_validate"],
    "tabular.regressor": ["TabularRegressor"],
    "tabular.tablewarning": ["TableWarning"],
    "modelfile": ["load_model"],
    "saving": ["ModelFileError"],
    "diagnose": ["TrainingDiverged"],
    "gradcheck": ["check_gradients"],
    "datainit": ["initialize_from_data"],
    "threads": ["get_num_threads", "set_num_threads"],
    "idx": ["read_idx"],
    "layers.activation": ["Activation"],
    "layers.base": ["Layer"],
    "layers.batchnorm": ["BatchNormalization"],
    "layers.bidirectional": ["Bidirectional"],
    "layers.branches": ["Concatenate", "Residual"],
    "layers.categories": ["CategoryEmbedding", "OneHot"],
    "layers.columns": ["Columns"],
    "layers.conv": ["Conv1D", "Conv2D"],
    "layers.dense": ["Dense"],
    "layers.depthwise": ["DepthwiseConv2D"],
    "layers.dropout": ["Dropout"],
    "layers.embedding": ["Embedding"],
    "layers.globalpooling": [
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
    ],
    "layers.gru": ["GRU"],
    "layers.layernorm": ["LayerNormalization", "RMSNormalization"],
    "layers.lstm": ["LSTM"],
    "layers.masking": ["Masking"],
    "layers.members": ["MemberDense", "MemberMean", "RepeatMembers"],
    "layers.noise": ["AlphaDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D"],
    "layers.padding": ["ZeroPadding1D", "ZeroPadding2D"],
    "layers.parametric": ["ParametricActivation"],
    "layers.periodic": ["PeriodicEmbedding"],
    "layers.piecewise": ["PiecewiseLinearEmbedding"],
    "layers.pooling": ["AveragePooling1D", "AveragePooling2D", "MaxPooling1D", "MaxPooling2D"],
    "layers.prelu": ["PReLU"],
    "layers.reshape": ["Flatten", "Reshape"],
    "layers.rnn": ["SimpleRNN"],
    "layers.scaling": ["Scaling"],
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


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
    value = getattr(import_module(f"fastbp.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOME_OF])
