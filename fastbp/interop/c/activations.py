"""Activations as C functions of (x, n), in place."""

from fastbp.interop.emitters import check_known

# C's expressions for one entry v, in float; ALPHA is the activation's setting.  An activation's class may have its own.
EXPRESSIONS = {
    "sigmoid": "1.0f / (1.0f + expf(-v))",
    "tanh": "tanhf(v)",
    "relu": "v < 0.0f ? 0.0f : v",
    "leaky_relu": "v > 0.0f ? v : ALPHA * v",
    "elu": "v > 0.0f ? v : ALPHA * expm1f(v)",
    "selu": "v > 0.0f ? 1.0507009873554805f * v : 1.7580993408473766f * expm1f(v)",
    "gelu": "0.5f * v * (1.0f + erff(v * 0.70710678118654752f))",
    "gelu_tanh": "v / (1.0f + expf(-1.5957691216057308f * (v + 0.044715f * v * v * v)))",
    "silu": "v / (1.0f + expf(-v))",
    "mish": "v * tanhf(fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v))))",
    "softplus": "fmaxf(v, 0.0f) + log1pf(expf(-fabsf(v)))",
    "exponential": "expf(v)",
    "hard_sigmoid": "fminf(fmaxf(v + 3.0f, 0.0f), 6.0f) / 6.0f",
}
LOOP = """
static void {name}(float *x, int n)
{{
    for (int i = 0; i < n; i++) {{
        const float v = x[i];
        x[i] = {expression};
    }}
}}
"""
SOFTMAX = """
/* each of the rows (width,) of x (n,) */
static void {name}(float *x, int n)
{{
    for (int first = 0; first < n; first += {width}) {{
        float *row = x + first, top = row[0], total = 0.0f;
        for (int i = 1; i < {width}; i++) top = fmaxf(top, row[i]);
        for (int i = 0; i < {width}; i++) total += row[i] = expf(row[i] - top);
        for (int i = 0; i < {width}; i++) row[i] /= total;
    }}
}}
"""
IDENTITY = """
static void {name}(float *x, int n)
{{
    (void)x;
    (void)n;
}}
"""


def function_of(program, activation, width):
    """Return the name of the C function of an activation whose rows have so many entries; it gets into the file."""
    name = activation.registered[1]
    if type(activation).c_expression is None:
        check_known(activation, EMITTED, "c_expression")
    key = f"{name}_{width}" if name == "softmax" else name if not activation.alpha else f"{name}_{activation.alpha!r}"
    if key not in program.activations:
        program.activations[key] = program.name(f"apply_{key}")
        program.own.append(definition(program, activation, name, program.activations[key], width))
    return program.activations[key]


def definition(program, activation, name, c_name, width):
    """Return the C definition of an activation."""
    if name == "softmax":
        text = SOFTMAX.format(name=c_name, width=width)
    elif name == "linear":
        text = IDENTITY.format(name=c_name)
    else:
        expression = type(activation).c_expression or EXPRESSIONS[name]
        expression = expression.replace("ALPHA", program.number(float(activation.alpha)))
        text = LOOP.format(name=c_name, expression=expression)
    return program.in_real(text)


def activate(program, activation, value, width):
    """Append the call that applies an activation to a value in place."""
    if activation.registered[1] != "linear":
        program.line(f"{function_of(program, activation, width)}({{}}, {value.size});", value)


EMITTED = ("linear", *EXPRESSIONS, "softmax")
