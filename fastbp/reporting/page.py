"""The page: one HTML file without scripts and without anything from elsewhere, for screens, phones and paper."""

from html import escape

STYLE = """
:root{color-scheme:light dark;--ink:#1d2433;--soft:#5b6475;--paper:#fff;--card:#f5f7fa;--rule:#dde2ea;
--c0:#2563b8;--c1:#d1495b;--c2:#2a8f5b;--c3:#c27c0e;--c4:#7a4fc0;--c5:#0f8b8d}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9f0;--soft:#9aa4b6;--paper:#14171e;--card:#1d222c;--rule:#333b49;
--c0:#6aa6ff;--c1:#ff7d8c;--c2:#5fcf93;--c3:#f0b04a;--c4:#b495ff;--c5:#4fd0d2}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.2rem 1rem 3rem;max-width:70rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.2rem 0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
p{margin:.3rem 0;max-width:46rem}.soft,figcaption,.tick{color:var(--soft)}
nav{margin:.8rem 0;display:flex;flex-wrap:wrap;gap:.3rem .9rem}nav a{color:var(--c0);text-decoration:none}
.cards{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
.cards div{background:var(--card);border-radius:.6rem;padding:.55rem .9rem;min-width:7.2rem;flex:0 1 auto}
.cards b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.cards span{color:var(--soft);font-size:.85rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));gap:1rem}
figure{margin:0;background:var(--card);border-radius:.6rem;padding:.8rem;min-width:0;break-inside:avoid}
figure h3{font-size:1rem;margin:0 0 .4rem}figcaption{font-size:.85rem;margin-top:.4rem}
svg{display:block;width:100%;height:auto;font-size:12px}
svg text{fill:var(--ink)}svg .tick{fill:var(--soft);font-size:11px}
.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}.error{stroke:var(--ink);stroke-width:1.5}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}
polyline{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}
.dash{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:4 4}.faint{stroke-width:1.2;opacity:.55}
.dots{fill:var(--c);opacity:.55}.dots.solid{opacity:1}.bars{fill:var(--c)}
.legend{display:flex;flex-wrap:wrap;gap:.1rem .9rem;font-size:.85rem}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:.2em;background:var(--c);margin-right:.35em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th{font-weight:600;color:var(--soft)}th:first-child,td:first-child{text-align:left}
td.words{white-space:normal;min-width:14rem;text-align:left}th.words{text-align:left}
.matrix{font-size:1rem}.matrix td{text-align:center;border:1px solid var(--paper);min-width:3rem;padding:.6rem;
background:color-mix(in srgb,var(--c0) calc(var(--share)*85%),transparent)}
.matrix td.strong{color:var(--paper)}.matrix{margin:0 auto}.matrix th{text-align:center}
@media (max-width:30rem){body{padding:1rem .7rem 2rem}figure{padding:.6rem .5rem}svg{font-size:14px}
svg .tick{font-size:13px}.matrix{font-size:.9rem}.matrix td{padding:.4rem;min-width:2.4rem}th,td{padding:.25rem .4rem}}
@media print{@page{margin:14mm}:root{color-scheme:light;--ink:#1d2433;--soft:#5b6475;--paper:#fff;--card:#f5f7fa;
--rule:#dde2ea;--c0:#2563b8;--c1:#d1495b;--c2:#2a8f5b;--c3:#c27c0e;--c4:#7a4fc0;--c5:#0f8b8d}
body{font-size:10pt;max-width:none;padding:0;print-color-adjust:exact;-webkit-print-color-adjust:exact}
nav{display:none}.figures{grid-template-columns:1fr 1fr}h2{break-after:avoid}.scroll{overflow:visible}
table{font-size:8pt}td,th{white-space:normal}tr{break-inside:avoid}}
"""


def page(title, head, sections):
    """Return the file's text.

    Parameters
    ----------
    title : str
    head : str
        HTML that stands above the sections.
    sections : list of (id, title, HTML)
    """
    links = "".join(f'<a href="#{name}">{escape(text)}</a>' for name, text, _ in sections)
    body = "".join(f'<section id="{name}"><h2>{escape(text)}</h2>{html}</section>' for name, text, html in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>\n'
        f"<body><header><h1>{escape(title)}</h1>{head}<nav>{links}</nav></header>\n<main>{body}</main></body></html>\n"
    )


def figure(name, title, content, caption=""):
    """Return a figure with the id `name`."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure id="{name}"><h3>{escape(title)}</h3>{content}{said}</figure>'


def figures(parts):
    """Return figures side by side."""
    return f'<div class="figures">{"".join(parts)}</div>'


def cards(pairs):
    """Return figures in large letters, (name, text) each."""
    inner = "".join(f"<div><b>{escape(text)}</b><span>{escape(name)}</span></div>" for name, text in pairs)
    return f'<div class="cards">{inner}</div>'


def table(header, rows, words=()):
    """Return a table of texts; columns at the places `words` hold sentences."""

    def line(cells, tag):
        marked = (' class="words"' if place in words else "" for place in range(len(cells)))
        return "".join(f"<{tag}{mark}>{escape(str(cell))}</{tag}>" for cell, mark in zip(cells, marked, strict=True))

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{line(header, "th")}</tr></thead><tbody>{body}</tbody></table></div>'


def matrix(labels, counts):
    """Return a confusion matrix: rows are true classes, columns predicted ones; colours are shares of a row."""
    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    rows = []
    for label, line in zip(labels, counts, strict=True):
        total = max(int(sum(line)), 1)
        cells = "".join(
            f'<td style="--share:{count / total:.3f}"{" class=strong" if count / total > 0.6 else ""}>{count}</td>'
            for count in line
        )
        rows.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="matrix"><thead><tr><th>true \\ predicted</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
