"""fastbp: neural networks trained by backpropagation on the CPU, in compiled steps.

Where to begin, by task:

    tables (DataFrame, CSV)      TabularClassifier, TabularRegressor, TabularMultiTask, cross_validate
    as in scikit-learn           MLPClassifier, MLPRegressor
    as in Keras                  Sequential with Dense, Conv2D, LSTM, ... of fastbp.layers; Adam, SGD, ... of
                                 fastbp.optimizers; fastbp.losses, fastbp.metrics, fastbp.callbacks
    why does it not learn        diagnose, Doctor, check_gradients
    what does it go by           fastbp.explain, report
    files and other programs     load_model, to_onnx, to_c, to_keras, from_keras
    parts of one's own           fastbp.custom
    many machines                fastbp.distributed

>>> import fastbp
>>> model = fastbp.Sequential([fastbp.Dense(16, "relu"), fastbp.Dense(1)], input_shape=(4,), seed=0)
>>> model.compile("adam", "mse")  # then model.fit(x, y, epochs=10)
>>> model.predict([[5.1, 3.5, 1.4, 0.2]]).shape
(1, 1)

Each of these names has a page in `help`. Names load what they need when they are first used: `import fastbp` itself
does no work. On the command line: ``fastbp --help``.
"""

from importlib import import_module

__version__ = "0.1.0"

# Where each public name lives; those of the families below are found by a script.
_HOMES = {
    "models.sequential": ["Sequential"],
    "doctor.callback": ["Doctor"],
    "doctor.examination": ["diagnose"],
    "interop.keras": ["from_keras", "to_keras_weights"],
    "interop.keras_export": ["to_keras"],
    "interop.c.export": ["to_c"],
    "interop.onnx.export": ["to_onnx"],
    "estimators": ["MLPClassifier", "MLPRegressor"],
    "tabular.classifier": ["TabularClassifier"],
    "tabular.crossvalidation": ["cross_validate"],
    "tabular.multitask": ["TabularMultiTask"],
    "tabular.regressor": ["TabularRegressor"],
    "tabular.tablewarning": ["TableWarning"],
    "tabular.warmup": ["warmup"],
    "settings.deprecated": ["FastbpDeprecationWarning"],
    "io.load": ["load_model"],
    "reporting.report": ["report"],
    "io.saving": ["ModelFileError"],
    "engine.divergence": ["TrainingDiverged"],
    "models.gradcheck": ["check_gradients"],
    "models.datainit": ["initialize_from_data"],
    "engine.threads": ["get_num_threads", "set_num_threads"],
    "io.idx": ["read_idx"],
    "layers.base": ["Layer"],
}
# From here on written by tools/public_names.py.
_FAMILIES = {
    "activations": ["ELU", "LeakyReLU"],
    "callbacks.backup": ["BackupAndRestore"],
    "callbacks.base": ["Callback"],
    "callbacks.checkpoint": ["ModelCheckpoint"],
    "callbacks.csvlogger": ["CSVLogger"],
    "callbacks.earlystopping": ["EarlyStopping"],
    "callbacks.history": ["History"],
    "callbacks.lambdacallback": ["LambdaCallback"],
    "callbacks.plateau": ["ReduceLROnPlateau"],
    "callbacks.progbar": ["ProgbarLogger"],
    "callbacks.scheduler": ["LearningRateScheduler"],
    "callbacks.tensorboard": ["TensorBoard"],
    "callbacks.terminate": ["TerminateOnNaN"],
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
        "MinusRandomProducts",
        "Ones",
        "Orthogonal",
        "RandomNormal",
        "RandomSigns",
        "RandomUniform",
        "RepeatedColumns",
        "SameForMembers",
        "UnitVariance",
        "Zeros",
    ],
    "layers.convolution.conv": ["Conv2D"],
    "layers.convolution.conv1d": ["Conv1D"],
    "layers.convolution.depthwise": ["DepthwiseConv2D"],
    "layers.convolution.globalpooling": [
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
    ],
    "layers.convolution.padding": ["ZeroPadding1D", "ZeroPadding2D"],
    "layers.convolution.pooling": ["AveragePooling1D", "AveragePooling2D", "MaxPooling1D", "MaxPooling2D"],
    "layers.core.activation": ["Activation"],
    "layers.core.branches": ["Concatenate", "Residual"],
    "layers.core.dense": ["Dense"],
    "layers.core.dropout": ["Dropout"],
    "layers.core.noise": ["AlphaDropout", "GaussianNoise", "SpatialDropout1D", "SpatialDropout2D"],
    "layers.core.prelu": ["PReLU"],
    "layers.core.rescaling": ["Rescaling"],
    "layers.core.reshape": ["Flatten", "Reshape"],
    "layers.core.softmax": ["Softmax"],
    "layers.core.softmaxblocks": ["SoftmaxBlocks"],
    "layers.members.members": ["MemberDense", "MemberMean", "RepeatMembers"],
    "layers.normalization.batchnorm": ["BatchNormalization"],
    "layers.normalization.groupnorm": ["GroupNormalization"],
    "layers.normalization.layernorm": ["LayerNormalization", "RMSNormalization"],
    "layers.normalization.layerscale": ["LayerScale"],
    "layers.recurrent.bidirectional": ["Bidirectional"],
    "layers.recurrent.gru": ["GRU"],
    "layers.recurrent.lstm": ["LSTM"],
    "layers.recurrent.masking": ["Masking"],
    "layers.recurrent.rnn": ["SimpleRNN"],
    "layers.tables.categories": ["CategoryEmbedding", "OneHot"],
    "layers.tables.columns": ["Columns"],
    "layers.tables.embedding": ["Embedding"],
    "layers.tables.parametric": ["ParametricActivation"],
    "layers.tables.periodic": ["PeriodicEmbedding"],
    "layers.tables.piecewise": ["PiecewiseLinearEmbedding"],
    "layers.tables.scaling": ["Scaling"],
    "losses": [
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "CustomLoss",
        "Hinge",
        "Huber",
        "JointLoss",
        "MeanAbsoluteError",
        "MeanSquaredError",
        "MemberLoss",
        "Poisson",
        "QuantileLoss",
        "SparseCategoricalCrossentropy",
    ],
    "optimizers": ["Adagrad", "Adam", "AdamW", "Lion", "Nadam", "RMSprop", "SGD"],
    "regularizers": ["L1", "L1L2", "L2", "MaxNorm"],
    "schedules": [
        "CosineDecay",
        "CosineDecayRestarts",
        "ExponentialDecay",
        "LogCosine",
        "OneCycle",
        "PiecewiseConstantDecay",
    ],
}

# To here.
_HOME_OF = {name: module for module, names in (_HOMES | _FAMILIES).items() for name in names}

__all__ = sorted(_HOME_OF)


# Modules that users write with the package's name before them, loaded when touched.
_MODULES = (
    "activations",
    "callbacks",
    "custom",
    "distributed",
    "doctor",
    "explain",
    "initializers",
    "interop",
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
    return sorted({*_HOME_OF, *_MODULES, *(name for name in globals() if name.startswith("__"))})
