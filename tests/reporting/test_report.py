"""The report: its figures' numbers, its page in a real browser, every kind of model, the command."""

import copy
import io
import json
import re
import shutil
import subprocess
import warnings
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, average_precision_score, confusion_matrix, log_loss, roc_auc_score

import fastbp
from fastbp import Dense, MLPClassifier, Sequential, TabularClassifier, TabularRegressor
from fastbp.commands.main import main
from fastbp.reporting import charts
from fastbp.tabular.recipe import PRESETS

FAST = {"preset": "fast", "random_state": 0}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(autouse=True, scope="module")
def small_networks():
    before = dict(PRESETS)
    PRESETS["fast"] = replace(PRESETS["fast"], hidden=((32,),), networks=3, few_rows_networks=3)
    yield
    PRESETS.update(before)


def table(n=260, seed=0):
    """Columns with names and values that HTML must escape, with missing values and dates."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age & more": rng.integers(18, 80, n).astype(float),
            "job": rng.choice(["nurse", "<b>smith</b>", "clerk"], n),
            "hired": pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9000, n), unit="D"),
            "noise": rng.normal(size=n),
        }
    )
    X.loc[::7, "age & more"] = np.nan
    score = X["age & more"].fillna(90) / 30 + 2 * (X["job"] == "<b>smith</b>") + rng.normal(size=n) / 4
    return X, score.rename("score")


@pytest.fixture(scope="module")
def classifier():
    X, score = table()
    y = pd.Series(np.where(score > score.median(), "yes", "no & never"), name="answer")
    return TabularClassifier(**FAST).fit(X[:160], y[:160]), X[160:], y[160:]


@pytest.fixture(scope="module")
def page(classifier):
    return fastbp.report(*classifier).html


class Page(HTMLParser):
    """The ids of figures, their texts, and whether tags are closed in order."""

    VOID = {"meta", "link", "circle", "line", "rect", "polyline", "br"}

    def __init__(self, html):
        super().__init__()
        self.figures, self.open, self.texts, self.external = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.external += [found[key] for key in ("src", "href") if not found.get(key, "#").startswith(("#", "data:"))]
        if tag == "figure":
            self.figures.append(found["id"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


CLASS_FIGURES = ["learning-curves", "confusion-matrix", "roc", "precision-recall", "calibration", "certainty"]


def test_a_classifiers_page_has_every_figure(page):
    found = Page(page)
    assert found.figures[:7] == [*CLASS_FIGURES, "importances"]
    assert found.figures[7:] == [f"dependence-{i}" for i in range(len(found.figures) - 7)]
    assert 3 <= len(found.figures[7:]) <= 6
    assert found.open == []
    assert found.external == []
    assert "<script" not in page
    assert "<b>smith" not in page
    assert "age & more" in found.text
    assert "category" in found.text
    assert "15 (15.0%)" in found.text  # missing
    assert len(page) < 150_000


def test_the_numbers_are_scikit_learns(classifier, page):
    model, X, y = classifier
    text = Page(page).text
    p, predicted = model.predict_proba(X), model.predict(X)
    assert f"{accuracy_score(y, predicted):.1%} accuracy" in text
    assert f"{log_loss(y, p):.4f} log loss" in text
    area = roc_auc_score(y == "yes", p[:, 1])
    assert f"{area:.4f} ROC AUC" in text
    assert f"yes: AUC {area:.3f}" in text
    assert f"yes: average precision {average_precision_score(y == 'yes', p[:, 1]):.3f}" in text
    counts = confusion_matrix(y, predicted)
    cells = re.search(r'<table class="matrix">.*?</table>', page).group()
    assert [int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", cells)] == counts.ravel().tolist()


def test_the_worst_rows_come_first_with_reasons(classifier, page):
    model, X, y = classifier
    p = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    worst = X.index[np.argsort(p, kind="stable")[:3]]
    rows = re.search(r'id="worst-rows".*?<tbody>(.*?)</tbody>', page).group(1).split("</tr>")
    assert [int(re.search(r"<td>(\d+)</td>", row).group(1)) for row in rows[:3]] == worst.tolist()
    reasons = unescape(re.search(r'class="words">(.*?)</td>', rows[0]).group(1))
    found = model.explain(X.loc[[worst[0]]]).iloc[0].drop("(base value)")
    first = found.abs().idxmax()
    sign = 1 if model.predict(X.loc[[worst[0]]])[0] == "yes" else -1
    assert reasons.startswith(first)
    assert f"({sign * found[first]:+.3g})" in reasons.split(";")[0]


def test_a_quantity_and_its_quantiles():
    X, score = table()
    model = TabularRegressor(**FAST).fit(X[:160], score[:160])
    found = Page(fastbp.report(model, X[160:], score[160:]).html)
    assert found.figures[:5] == ["learning-curves", "predictions", "residuals", "residual-histogram", "importances"]
    error = model.predict(X[160:]) - score[160:]
    assert f"{np.sqrt(np.mean(error**2)):.4g} RMSE" in found.text
    bands = TabularRegressor(**FAST, quantiles=[0.1, 0.5, 0.9]).fit(X[:160], score[:160])
    found = Page(fastbp.report(bands, X[160:], score[160:]).html)
    assert found.figures[1:4] == ["coverage", "intervals", "importances"]
    low, _, high = bands.predict(X[160:]).T
    assert f"{np.mean((score[160:] >= low) & (score[160:] <= high)):.1%} within quantiles 0.1 to 0.9" in found.text
    both = TabularRegressor(**FAST).fit(X[:160], np.column_stack([score, -score])[:160])
    found = Page(fastbp.report(both, X[160:], np.column_stack([score, -score])[160:]).html)
    assert {"predictions-0", "residuals-1"} <= set(found.figures)


def test_models_of_numbers():
    x, y = load_iris(return_X_y=True)
    model = Sequential([Dense(8, "relu"), Dense(3, "softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=5, validation_split=0.2, verbose=0)
    found = Page(fastbp.report(model, x, y, history=history).html)
    assert found.figures[:7] == [*CLASS_FIGURES, "importances"]
    assert "val_loss" in found.text
    assert "Dense, Dense" in found.text
    binary = Sequential([Dense(1, "sigmoid")], seed=0, input_shape=(4,))
    binary.compile("adam", "binary_crossentropy")
    assert "roc" in Page(fastbp.report(binary, x, y > 0).html).figures
    mlp = MLPClassifier((8,), tol=10, random_state=0).fit(x[::2], np.array(list("abc"))[y[::2]])
    found = Page(fastbp.report(mlp, x, np.array(list("abc"))[y]).html)
    assert found.figures[0] == "learning-curves"
    linear = LinearRegression().fit(x, x.sum(axis=1))
    found = Page(fastbp.report(linear, pd.DataFrame(x), x.sum(axis=1)).html)
    assert found.figures[:2] == ["predictions", "residuals"]


def test_odd_data(classifier):
    model, X, y = classifier
    one = Page(fastbp.report(model, X[:1], y[:1]).html)
    assert "judged by 1 rows" in one.text
    same = y == "yes"
    assert "roc" in Page(fastbp.report(model, X[same][:20], y[same][:20]).html).figures
    rng = np.random.default_rng(0)
    letters = np.array([f"class {i}" for i in range(25)])[rng.integers(0, 25, 300)]
    many = TabularClassifier(**FAST).fit(rng.normal(size=(300, 2)), letters)
    assert "Most frequent confusions" in Page(fastbp.report(many, rng.normal(size=(300, 2)), letters).html).text
    with pytest.raises(ValueError, match="'maybe', which training did not see"):
        fastbp.report(model, X[:2], ["yes", "maybe"])
    with pytest.raises(TypeError, match="report takes a model that predicts, not str"):
        fastbp.report("model.fastbp", X, y)
    with pytest.raises(ValueError, match="X has 3 rows and y 2"):
        fastbp.report(LinearRegression().fit([[0], [1]], [0, 1]), [[0], [1], [2]], [0, 1])


def test_saving_and_showing(classifier, tmp_path):
    model, X, y = classifier
    made = fastbp.report(model, X[:30], y[:30], tmp_path / "r.html", title="A & B")
    assert (tmp_path / "r.html").read_text() == made.html
    assert "<h1>A &amp; B</h1>" in made.html
    assert made._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert "HTML" in repr(made)
    with pytest.raises(FileNotFoundError):
        made.save(tmp_path / "no folder" / "r.html")


def test_ticks_are_round_and_within():
    rng = np.random.default_rng(0)
    for _ in range(50):
        low, size = rng.normal() * 10.0 ** rng.integers(-6, 9), 10.0 ** rng.uniform(-6, 9)
        found = charts.ticks(low, low + size)
        assert 2 <= len(found) <= 7
        assert low - 1e-6 * size <= found[0]
        assert found[-1] <= low + size * (1 + 1e-6)


# In a browser


def chromium(path, *options):
    """Run Chromium without a window; return the page's DOM (or nothing), and what the console said."""
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        *options,
        path.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


# A page around the report, which measures it.
HARNESS = """<!doctype html><meta charset=utf-8><iframe id=f style="border:0;width:{width}px;height:900px"></iframe>
<pre id=found></pre><script>
const f = document.getElementById("f");
f.onload = () => {{
  const d = f.contentDocument, root = d.documentElement;
  const sizes = [...d.querySelectorAll("figure")].map(e => [e.id, e.offsetWidth, Math.round(
    (e.querySelector("svg") || e.querySelector("table")).getBoundingClientRect().height)]);
  const letters = [...d.querySelectorAll("svg text")].map(e => e.getBoundingClientRect()).filter(r => {{
    return r.left < -1 || r.right > root.clientWidth + 1; }}).length;
  document.getElementById("found").textContent = JSON.stringify({{
    overflow: root.scrollWidth - root.clientWidth, sizes, letters,
    paper: getComputedStyle(d.body).backgroundColor}});
}};
f.srcdoc = {page};
</script>"""


@in_browser
@pytest.mark.parametrize(("width", "dark"), [(375, True), (1100, False)])
def test_the_page_in_a_browser(page, tmp_path, width, dark):
    path = tmp_path / "harness.html"
    path.write_text(HARNESS.format(width=width, page=json.dumps(page).replace("</", "<\\/")))
    dom, console = chromium(path, "--dump-dom", *["--blink-settings=preferredColorScheme=0"] * dark)
    assert console == []
    found = json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', dom).group(1)))
    assert found["overflow"] == 0  # nothing to scroll sideways
    assert found["letters"] == 0
    assert [name for name, *_ in found["sizes"]] == Page(page).figures
    assert all(across > min(300, width - 60) and height > 60 for _, across, height in found["sizes"])
    assert found["paper"] == ("rgb(20, 23, 30)" if dark else "rgb(255, 255, 255)")


@in_browser
def test_the_page_on_paper_and_the_check_of_the_console(page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page)
    _, console = chromium(path, f"--print-to-pdf={tmp_path / 'r.pdf'}")
    assert console == []
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")
    path.write_text(page.replace("</body>", f'<img src="{escape("https://example.com/x.png")}"></body>'))
    _, console = chromium(path, "--dump-dom")
    assert any("Content Security Policy" in line for line in console)


# Commands


@pytest.fixture
def files(classifier, csv):
    model, X, y = classifier
    path, model = csv(X.assign(answer=y)), copy.deepcopy(model)
    model.ensemble_.importances = None
    model.save(path.with_name("m.fastbp"))
    return path.with_name("m.fastbp"), path


def test_report_command(files, classifier, capsys):
    model, path = files
    out = path.with_name("r.html")
    assert main(["report", str(model), str(path), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "100 rows, 'answer'" in told.out
    found = Page(out.read_text())
    assert found.figures[:7] == [*CLASS_FIGURES, "importances"]
    assert "by the rows of this report" in found.text
    assert "m.fastbp: answer, by table.csv" in found.text
    assert main(["report", str(model), str(path), "--out", str(path)]) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_explain_command(files, classifier, capsys):
    model, path = files
    estimator, X, _ = classifier
    assert main(["explain", str(model), str(path), "--row", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    p = estimator.predict_proba(X.iloc[[2]])[0, 1]
    assert lines[0].split() == ["column", "value", "contribution", "to", "probability", "of", "yes"]
    assert lines[-1].split() == ["prediction", f"{p:.4g}"]
    assert main(["explain", str(model), str(path), "--row", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(told["contributions"]["probability of yes"].values()) == pytest.approx(p, abs=1e-6)
    assert main(["explain", str(model), str(path), "--out", "-"]) == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_allclose(frame.sum(axis=1), estimator.predict_proba(X)[:, 1], atol=1e-6)
    assert main(["explain", str(model), str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[0] in ("job", "age")
    assert main(["explain", str(model), str(path), "--row", "101"]) == 2
    assert "--row 101: the table has 100 rows" in capsys.readouterr().err


# Several targets


@pytest.fixture(scope="module")
def several():
    X, score = table()
    y = pd.DataFrame({"score": score, "late": np.where(X["noise"] > 0, "yes", "<no>"), "trade": X["job"].str[-3:]})
    y.loc[::9, "score"], y.loc[::11, "late"] = np.nan, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastbp.TableWarning)
        model = fastbp.TabularMultiTask(**FAST).fit(X[:160], y[:160])
    return model, X[160:], y[160:]


def test_each_of_several_targets_has_its_figures(several):
    model, X, y = several
    html = fastbp.report(*several).html
    page = Page(html)
    ids = re.findall(r'id="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(page.figures) >= {"learning-curves", "predictions-0", "roc-1", "confusion-matrix-2", "importances"}
    assert set(page.figures) >= {f"dependence-0-{number}" for number in range(3)}
    known = y["late"].notna()
    p = model.predict_proba(X[known])[0]
    truth = y["late"][known]
    assert f"{accuracy_score(truth, model.predict(X[known])[:, 1]):.1%} accuracy" in page.text
    assert f"{roc_auc_score(truth == 'yes', p[:, 1]):.4f} ROC AUC" in page.text
    known = y["score"].notna()
    error = model.predict(X[known])[:, 0].astype(float) - y["score"][known]
    assert f"{np.sqrt(np.square(error).mean()):.4g} RMSE" in page.text
    assert f"{known.sum()} rows have it" in page.text
    assert "TabularMultiTask: score, late, trade" in page.text
    # A worst row by its name in the whole table.
    assert f" {error.abs().idxmax()} " in page.text[page.text.index("score: the worst rows", 400) :]
    with pytest.raises(ValueError, match="y has no value in any target"):
        fastbp.report(model, X, y.assign(score=np.nan, late=None, trade=None))
    one = fastbp.report(model, X, y.assign(score=np.nan)).html
    assert "predictions-0" not in one
    assert "roc-1" in one


def test_report_command_of_several_targets(several, csv, capsys):
    model, X, y = several
    path = csv(X.join(y))
    own = path.with_name("own.fastbp")
    model.save(own)
    out = path.with_name("r.html")
    assert main(["report", str(own), str(path), "--out", str(out)]) == 0
    assert f"{len(X)} rows, 'score', 'late', 'trade'" in capsys.readouterr().out
    assert Page(out.read_text()).figures.count("importances") == 1
