"""The flat gradient given to scipy.optimize.minimize: L-BFGS on a small network.

What one learns: all parameters are one vector, `model.params`, and `value_and_grad` returns the loss with a
gradient of the same layout, so any optimizer of SciPy is one small function away. Small, noiseless fits in
float64 go far deeper with a quasi-Newton method than with as many steps of Adam.
"""

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

import fastbp


def make_model():
    layers = [fastbp.Dense(10, activation="tanh"), fastbp.Dense(10, activation="tanh"), fastbp.Dense(1)]
    model = fastbp.Sequential(layers, input_shape=(2,), seed=0, dtype="float64")
    model.compile(optimizer=fastbp.Adam(0.01), loss="mean_squared_error")
    return model


def main():
    x = np.random.default_rng(0).uniform(-1, 1, size=(300, 2))
    y = np.sin(3 * x[:, 0]) * x[:, 1]

    model = make_model()

    def loss_and_gradient(params):
        model.params[:] = params
        return model.value_and_grad(x, y)

    options = {"maxiter": 1000, "ftol": 1e-12}
    # SciPy's own vectors are short: with two BLAS threads, 500 iterations took ten times as long (0.09 and 0.85 s).
    with threadpool_limits(1, user_api="blas"):
        result = minimize(loss_and_gradient, model.params.copy(), jac=True, method="L-BFGS-B", options=options)
    model.params[:] = result.x

    # Adam, from the same start, with as many gradients.
    adam = make_model()
    adam.fit(x, y, epochs=result.nfev, batch_size=len(x), verbose=0)

    lbfgs_loss, adam_loss = model.evaluate(x, y), adam.evaluate(x, y)
    print(f"{model.count_params()} parameters, {result.nfev} gradients each")
    print(f"L-BFGS  loss {lbfgs_loss:.2e} after {result.nit} iterations")
    print(f"Adam    loss {adam_loss:.2e}")
    assert np.isclose(lbfgs_loss, result.fun, rtol=1e-9)
    assert lbfgs_loss < 1e-5
    assert lbfgs_loss < adam_loss / 10


if __name__ == "__main__":
    main()
