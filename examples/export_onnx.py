"""A model of a table as ONNX: strings, dates and missing values go straight into the graph.

What one learns: `fastbp.to_onnx` writes preprocessing, networks, calibration and classes as one graph; onnxruntime
takes the columns as they are and gives what `predict_proba` gives. (pip install "fastbp[onnx]" onnxruntime)
"""

import time

import numpy as np
import onnxruntime
import pandas as pd

import fastbp


def visits(n, seed=0):
    """Return a table of visits, some values of which are missing, and who came back."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "day": pd.Timestamp("2025-01-01") + pd.to_timedelta(rng.integers(0, 500, n), "D"),
            "minutes": rng.lognormal(3, 0.7, n).round(1),
            "channel": rng.choice(["shop", "phone", "web"], n),
        }
    )
    weekend = frame["day"].dt.day_of_week > 4
    chance = 0.2 + 0.3 * weekend + 0.3 * (frame["channel"] == "web") + 0.2 * (frame["minutes"] > 30)
    frame.loc[rng.random(n) < 0.1, "channel"] = None
    frame.loc[rng.random(n) < 0.1, "minutes"] = np.nan
    return frame, pd.Series(np.where(rng.random(n) < chance, "back", "gone"), name="came")


def feeds(frame):
    """Return a frame as the graph's inputs: text, numbers, and dates as seconds since 1970."""
    seconds = (frame["day"] - pd.Timestamp(0)) / pd.Timedelta("1s")
    return {
        "day": seconds.to_numpy(float)[:, None],
        "minutes": frame["minutes"].to_numpy(float)[:, None],
        "channel": frame["channel"].fillna("").to_numpy(object)[:, None],
    }


def main():
    frame, y = visits(2000)
    model = fastbp.TabularClassifier("fast", random_state=0).fit(frame, y)
    onnx_model = fastbp.to_onnx(model, "visits.onnx")
    print(f"visits.onnx: {len(onnx_model.graph.node)} nodes, {onnx_model.ByteSize() / 1000:.0f} kB")

    session = onnxruntime.InferenceSession("visits.onnx")
    for one in onnx_model.graph.input:
        print(f"  input {one.name}: {one.doc_string}")
    new, _ = visits(500, seed=1)
    label, probabilities = session.run(["label", "probabilities"], feeds(new))
    difference = np.abs(probabilities - model.predict_proba(new)).max()
    print(f"500 new rows: probabilities differ by {difference:.1g} at most, first label {label[0]!r}")
    row = feeds(new.head(1))
    start = time.perf_counter()
    for _ in range(100):
        session.run(None, row)
    print(f"one row takes {(time.perf_counter() - start) * 10:.2f} ms, preprocessing and all")
    assert difference < 1e-5
    assert (label == model.predict(new)).all()


if __name__ == "__main__":
    main()
