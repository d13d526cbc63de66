"""fastbp and its peers, predicting with the same weights: NumPy rows in, NumPy probabilities out."""

import warnings


class FastbpPredictor:
    """fastbp's `predict`."""

    def __init__(self, workload, threads):
        import fastbp

        fastbp.set_num_threads(threads)
        self.predict = workload.model().predict


class OnnxPredictor:
    """ONNX Runtime with the default session options but for the number of threads."""

    def __init__(self, workload, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = onnx_model(workload).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(self, x):
        """x (n, d) -> probabilities (n, k)."""
        return self._session.run(None, {"x": x})[0]


def onnx_model(workload):
    """Return the network as an ONNX graph: Gemm and Relu for each hidden layer, Gemm and Softmax at the end."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, value = [], [], "x"
    weights = workload.model().get_weights()
    last = len(weights) // 2 - 1
    for i, pair in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        names = [f"kernel{i}", f"bias{i}"]
        constants += [numpy_helper.from_array(array, name) for array, name in zip(pair, names, strict=True)]
        nodes.append(helper.make_node("Gemm", [value, *names], [f"sum{i}"]))
        value = f"out{i}"
        nodes.append(helper.make_node("Softmax" if i == last else "Relu", [f"sum{i}"], [value]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("x", workload.sizes[0]), (value, workload.sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    # Any onnxruntime of the last years reads these versions; newer files need newer runtimes.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class TorchPredictor:
    """PyTorch in inference mode."""

    def __init__(self, workload, threads):
        import torch

        torch.set_num_threads(threads)
        from benchmarks.shared.peers import torch_network

        self._torch = torch
        self._network = torch.nn.Sequential(torch_network(workload), torch.nn.Softmax(1)).eval()

    def predict(self, x):
        """x (n, d) -> probabilities (n, k)."""
        with self._torch.inference_mode():
            return self._network(self._torch.from_numpy(x)).numpy()


class SklearnPredictor:
    """scikit-learn's MLP in float32."""

    def __init__(self, workload, threads):
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        self._limits = threadpool_limits(threads)
        x, y = workload.data()
        model = MLPClassifier(workload.sizes[1:-1], activation=workload.activation, max_iter=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x[:1000], y[:1000])
        weights = workload.model().get_weights()
        model.coefs_, model.intercepts_ = weights[::2], weights[1::2]
        self.predict = model.predict_proba


PREDICTORS = {
    "fastbp": FastbpPredictor,
    "onnxruntime": OnnxPredictor,
    "torch": TorchPredictor,
    "sklearn": SklearnPredictor,
}
