"""Formulas as MathML, which every browser draws by itself: no script is loaded, so no network is needed."""

from latex2mathml.converter import convert


def visit_math(writer, node):
    writer.body.append(convert(node.astext()))
    raise _skip()


def visit_block(writer, node):
    writer.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise _skip()


def _skip():
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True}
