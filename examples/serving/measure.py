"""Train a model, serve it by app.py with uvicorn, and measure requests: python examples/serving/measure.py"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import pandas as pd

import fastbp

HERE, URL = Path(__file__).parent, "http://127.0.0.1:8765"


def people(n):
    """Return a table of made-up customers, and whether they stayed."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "age": rng.integers(18, 90, n), "income": rng.lognormal(10, 0.5, n).round(), "visits": rng.poisson(4, n),
        "town": rng.choice(["Ulm", "Bonn", "Kiel"], n), "since": rng.integers(2000, 2026, n),
        "card": rng.random(n) < 0.5,
    })  # fmt: skip
    return frame, np.where(frame["visits"] + 3 * frame["card"] > 5, "stayed", "left")


def main():
    with tempfile.TemporaryDirectory() as folder:
        frame, y = people(5000)
        path = Path(folder, "model.fastbp")
        fastbp.TabularClassifier(random_state=0).fit(frame, y).save(path)
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "8765", "--log-level", "warning"]
        server = subprocess.Popen(command, cwd=HERE, env=os.environ | {"FASTBP_MODEL": str(path)})
        try:
            measure(frame)
        finally:
            server.terminate()
            server.wait()


def measure(frame):
    """Print the median and the 99th percentile of requests of several sizes."""
    with httpx.Client(timeout=30) as client:
        while True:
            try:
                client.get(f"{URL}/card")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        wrong = client.post(f"{URL}/predict", json=[{"age": "old"}])
        print(f"a mistake: status {wrong.status_code}, {wrong.json()['detail']}")
        for n in (1, 10, 100, 1000):
            records = frame.head(n).to_dict("records")
            seconds = []
            for _ in range(200 if n < 100 else 40):
                start = time.perf_counter()
                answer = client.post(f"{URL}/predict", json=records)
                seconds.append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
                assert len(answer.json()["predictions"]) == n
            low, high = np.quantile(seconds, [0.5, 0.99]) * 1000
            print(f"{n:5} records: median {low:.1f} ms, 99th percentile {high:.1f} ms")


if __name__ == "__main__":
    main()
