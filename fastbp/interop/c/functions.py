"""The C functions that exported models call, for float; `program.as_double` makes those for double of them.

A function that one kind of layer alone calls may stand in the layer's class, in `c_functions`.
"""

FUNCTIONS = {
    "copy": """
/* out (n,) = x */
static void copy(const float *x, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = x[i];
}
""",
    "multiply_add": """
/* out (k,) += x (d,) @ columns first to first + k of kernel (d, width); 32 products are added up on their own first,
   because a long sum of floats loses digits */
static void multiply_add(const float *x, const float *kernel, float *out, int d, int width, int first, int k)
{
    for (int left = 0; left < k; left += 64) {
        const int columns = k - left < 64 ? k - left : 64;
        float part[64];
        for (int top = 0; top < d; top += 32) {
            const int end = d - top < 32 ? d : top + 32;
            for (int j = 0; j < columns; j++) part[j] = 0.0f;
            for (int i = top; i < end; i++) {
                const float *weights = kernel + i * width + first + left;
                const float entry = x[i];
                for (int j = 0; j < columns; j++) part[j] += entry * weights[j];
            }
            for (int j = 0; j < columns; j++) out[left + j] += part[j];
        }
    }
}
""",
    "dense": """
/* out (rows, k) = x (rows, d) @ kernel (d, k) + bias (k,) */
static void dense(const float *x, const float *kernel, const float *bias, float *out, int rows, int d, int k)
{
    for (int row = 0; row < rows; row++, x += d, out += k) {
        for (int j = 0; j < k; j++) out[j] = bias ? bias[j] : 0.0f;
        multiply_add(x, kernel, out, d, k, 0, k);
    }
}
""",
    "affine": """
/* out (rows, k) = x (rows, k) * scale (k,) + shift (k,) */
static void affine(const float *x, const float *scale, const float *shift, float *out, int rows, int k)
{
    for (int row = 0; row < rows; row++, x += k, out += k)
        for (int j = 0; j < k; j++) out[j] = x[j] * scale[j] + (shift ? shift[j] : 0.0f);
}
""",
    "normalize": """
/* out (rows, d) = (x - mean) / sqrt(mean square + epsilon) * gamma (d,) + beta (d,); the mean is 0 if not centred */
static void normalize(const float *x, const float *gamma, const float *beta, float *out, int rows, int d,
                      float epsilon, int centred)
{
    for (int row = 0; row < rows; row++, x += d, out += d) {
        double total = 0.0, square = 0.0;
        if (centred)
            for (int j = 0; j < d; j++) total += x[j];
        const float mean = (float)(total / d);
        for (int j = 0; j < d; j++) square += (x[j] - mean) * (x[j] - mean);
        const float scale = 1.0f / sqrtf((float)(square / d) + epsilon);
        for (int j = 0; j < d; j++) {
            const float z = (x[j] - mean) * scale;
            out[j] = (gamma ? gamma[j] * z : z) + (beta ? beta[j] : 0.0f);
        }
    }
}
""",
    "prelu": """
/* out (n,) = x where x > 0, else alpha (n,) * x */
static void prelu(const float *x, const float *alpha, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = x[i] > 0.0f ? x[i] : alpha[i] * x[i];
}
""",
    "mix": """
/* out (n,) = x + alpha (n,) * (out - x) */
static void mix(const float *x, const float *alpha, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = x[i] + alpha[i] * (out[i] - x[i]);
}
""",
    "add": """
/* out (n,) = x + y */
static void add(const float *x, const float *y, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = x[i] + y[i];
}
""",
    "beside": """
/* columns first to first + size of out (blocks, total) = x (blocks, size) */
static void beside(const float *x, float *out, int blocks, int size, int total, int first)
{
    for (int i = 0; i < blocks; i++)
        for (int j = 0; j < size; j++) out[i * total + first + j] = x[i * size + j];
}
""",
    "repeat": """
/* out (times, n) = x (n,) */
static void repeat(const float *x, float *out, int times, int n)
{
    for (int i = 0; i < times * n; i++) out[i] = x[i % n];
}
""",
    "mean_rows": """
/* out (k,) = the mean of the rows of x (rows, k) */
static void mean_rows(const float *x, float *out, int rows, int k)
{
    for (int j = 0; j < k; j++) {
        double total = 0.0;
        for (int i = 0; i < rows; i++) total += x[i * k + j];
        out[j] = (float)(total / rows);
    }
}
""",
    "columns": """
/* out (k,) = x[chosen] */
static void columns(const float *x, const int *chosen, float *out, int k)
{
    for (int j = 0; j < k; j++) out[j] = x[chosen[j]];
}
""",
    "one_hot": """
/* out = a one among so many zeros as each of the n columns of x has categories */
static void one_hot(const float *x, const int *categories, float *out, int n)
{
    for (int i = 0; i < n; out += categories[i], i++)
        for (int j = 0; j < categories[i]; j++) out[j] = (int)x[i] == j ? 1.0f : 0.0f;
}
""",
    "embed": """
/* out (n, k) = rows x (n,) of table (categories, k) */
static void embed(const float *x, const float *table, float *out, int n, int k)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < k; j++) out[i * k + j] = table[(int)x[i] * k + j];
}
""",
    "waves": """
/* out (d, e) = [x, cos(2 pi frequency x + phase) @ kernel + bias], feature by feature;
   frequency, phase (d, f), kernel (d, f, e - 1), bias (d, e - 1) */
static void waves(const float *x, const float *frequency, const float *phase, const float *kernel, const float *bias,
                  float *out, int d, int f, int e)
{
    for (int i = 0; i < d; i++, out += e) {
        out[0] = x[i];
        for (int k = 1; k < e; k++) out[k] = bias[i * (e - 1) + k - 1];
        for (int j = 0; j < f; j++) {
            const float wave = cosf(6.2831853071795864769f * (frequency[i * f + j] * x[i]) + phase[i * f + j]);
            const float *weights = kernel + (i * f + j) * (e - 1);
            for (int k = 1; k < e; k++) out[k] += wave * weights[k - 1];
        }
    }
}
""",
    "pieces": """
/* out (d, k) = x * slope + bias + shares @ kernel: the share of each bin, from low on, that lies below x;
   starts (d + 1,), low, over (bins,), kernel (bins, k), slope, bias (d, k) */
static void pieces(const float *x, const int *starts, const float *low, const float *over, const float *kernel,
                   const float *slope, const float *bias, float *out, int d, int k)
{
    for (int i = 0; i < d; i++, out += k) {
        for (int j = 0; j < k; j++) out[j] = x[i] * slope[i * k + j] + bias[i * k + j];
        for (int b = starts[i]; b < starts[i + 1]; b++) {
            float share = (x[i] - low[b]) * over[b];
            if (share < 0.0f && b > starts[i]) share = 0.0f;
            if (share > 1.0f && b < starts[i + 1] - 1) share = 1.0f;
            for (int j = 0; j < k; j++) out[j] += share * kernel[b * k + j];
        }
    }
}
""",
    "convolve": """
/* out (oh, ow, k) = windows of x (h, w, c) @ kernel (kh, kw, c / groups, k) + bias (k,); outside x are zeros */
static void convolve(const float *x, const float *kernel, const float *bias, float *out, int h, int w, int c,
                     int kh, int kw, int k, int groups, int step_h, int step_w, int gap_h, int gap_w,
                     int top, int left, int oh, int ow)
{
    const int c_group = c / groups, k_group = k / groups;
    for (int row = 0; row < oh; row++)
        for (int column = 0; column < ow; column++, out += k) {
            for (int j = 0; j < k; j++) out[j] = bias ? bias[j] : 0.0f;
            for (int a = 0; a < kh; a++)
                for (int b = 0; b < kw; b++) {
                    const int y = row * step_h + a * gap_h - top, z = column * step_w + b * gap_w - left;
                    if (y < 0 || y >= h || z < 0 || z >= w) continue;
                    const float *entries = x + (y * w + z) * c, *weights = kernel + (a * kw + b) * c_group * k;
                    for (int group = 0, first = 0; group < groups; group++, first += k_group)
                        multiply_add(entries + group * c_group, weights, out + first, c_group, k, first, k_group);
                }
        }
}
""",
    "convolve_channels": """
/* out (oh, ow, c * m): each channel of x (h, w, c) with m filters of its own, kernel (kh, kw, c, m) */
static void convolve_channels(const float *x, const float *kernel, const float *bias, float *out, int h, int w, int c,
                              int kh, int kw, int m, int step_h, int step_w, int gap_h, int gap_w,
                              int top, int left, int oh, int ow)
{
    const int k = c * m;
    for (int row = 0; row < oh; row++)
        for (int column = 0; column < ow; column++, out += k) {
            for (int j = 0; j < k; j++) out[j] = bias ? bias[j] : 0.0f;
            for (int a = 0; a < kh; a++)
                for (int b = 0; b < kw; b++) {
                    const int y = row * step_h + a * gap_h - top, z = column * step_w + b * gap_w - left;
                    if (y < 0 || y >= h || z < 0 || z >= w) continue;
                    const float *weights = kernel + (a * kw + b) * k, *entries = x + (y * w + z) * c;
                    for (int j = 0; j < k; j++) out[j] += entries[j / m] * weights[j];
                }
        }
}
""",
    "pool": """
/* out (oh, ow, c) = the largest entry, or the mean, of windows (kh, kw) of x (h, w, c); what is outside counts not */
static void pool(const float *x, float *out, int h, int w, int c, int kh, int kw, int step_h, int step_w,
                 int top, int left, int oh, int ow, int mean)
{
    for (int row = 0; row < oh; row++)
        for (int column = 0; column < ow; column++, out += c)
            for (int i = 0; i < c; i++) {
                float largest = -INFINITY;
                double total = 0.0;
                int count = 0;
                for (int a = 0; a < kh; a++)
                    for (int b = 0; b < kw; b++) {
                        const int y = row * step_h + a - top, z = column * step_w + b - left;
                        if (y < 0 || y >= h || z < 0 || z >= w) continue;
                        const float entry = x[(y * w + z) * c + i];
                        total += entry;
                        largest = fmaxf(largest, entry);
                        count++;
                    }
                out[i] = mean ? (float)(total / count) : largest;
            }
}
""",
    "pad": """
/* out (oh, ow, c) = x (h, w, c) with zeros around it */
static void pad(const float *x, float *out, int h, int w, int c, int top, int left, int oh, int ow)
{
    for (int i = 0; i < oh * ow * c; i++) out[i] = 0.0f;
    for (int row = 0; row < h; row++)
        for (int i = 0; i < w * c; i++) out[((row + top) * ow + left) * c + i] = x[row * w * c + i];
}
""",
    "mask_steps": """
/* mask (t,) = 1 where a step of x (t, d) holds something beside `value`; out (t, d) = x, 0 at the other steps */
static void mask_steps(const float *x, float value, float *mask, float *out, int t, int d)
{
    for (int s = 0; s < t; s++) {
        mask[s] = 0.0f;
        for (int i = 0; i < d; i++)
            if (x[s * d + i] < value || x[s * d + i] > value || isnan(x[s * d + i])) mask[s] = 1.0f;
        for (int i = 0; i < d; i++) out[s * d + i] = mask[s] > 0.0f ? x[s * d + i] : 0.0f;
    }
}
""",
    "step_out": """
/* out (u,) = the state, or 0 at a step to skip where `zero` is set */
static void step_out(const float *state, float *out, int u, int skipped, int zero)
{
    for (int j = 0; j < u; j++) out[j] = skipped && zero ? 0.0f : state[j];
}
""",
    "simple_rnn": """
/* out (t, u) or (u,): h = activation(x @ kernel (d, u) + h before @ recurrent (u, u) + bias (u,)); memory (2, u) */
static void simple_rnn(const float *x, const float *kernel, const float *recurrent, const float *bias,
                       const float *mask, float *memory, float *out, int t, int d, int u, int backwards,
                       int sequences, int zero, void (*activation)(float *, int))
{
    float *h = memory, *z = memory + u;
    for (int j = 0; j < u; j++) h[j] = 0.0f;
    for (int p = 0; p < t; p++) {
        const int s = backwards ? t - 1 - p : p, skipped = mask && !(mask[s] > 0.0f);
        if (!skipped) {
            for (int j = 0; j < u; j++) z[j] = bias ? bias[j] : 0.0f;
            multiply_add(x + s * d, kernel, z, d, u, 0, u);
            multiply_add(h, recurrent, z, u, u, 0, u);
            activation(z, u);
            for (int j = 0; j < u; j++) h[j] = z[j];
        }
        if (sequences || p == t - 1) step_out(h, sequences ? out + p * u : out, u, skipped, zero);
    }
}
""",
    "lstm": """
/* out (t, u) or (u,): gates i, f, g, o of kernel (d, 4u), recurrent (u, 4u), bias (4u,); memory (7, u) */
static void lstm(const float *x, const float *kernel, const float *recurrent, const float *bias, const float *mask,
                 float *memory, float *out, int t, int d, int u, int backwards, int sequences, int zero,
                 void (*activation)(float *, int), void (*gate)(float *, int))
{
    float *h = memory, *cell = memory + u, *shown = memory + 2 * u, *z = memory + 3 * u;
    for (int j = 0; j < 2 * u; j++) memory[j] = 0.0f;
    for (int p = 0; p < t; p++) {
        const int s = backwards ? t - 1 - p : p, skipped = mask && !(mask[s] > 0.0f);
        if (!skipped) {
            for (int j = 0; j < 4 * u; j++) z[j] = bias ? bias[j] : 0.0f;
            multiply_add(x + s * d, kernel, z, d, 4 * u, 0, 4 * u);
            multiply_add(h, recurrent, z, u, 4 * u, 0, 4 * u);
            gate(z, u);
            gate(z + u, u);
            activation(z + 2 * u, u);
            gate(z + 3 * u, u);
            for (int j = 0; j < u; j++) shown[j] = cell[j] = z[u + j] * cell[j] + z[j] * z[2 * u + j];
            activation(shown, u);
            for (int j = 0; j < u; j++) h[j] = z[3 * u + j] * shown[j];
        }
        if (sequences || p == t - 1) step_out(h, sequences ? out + p * u : out, u, skipped, zero);
    }
}
""",
    "gru": """
/* out (t, u) or (u,): gates z, r, h of kernel (d, 3u), recurrent (u, 3u), bias (3u,), and of the state's own product
   state_bias (3u,); with `after` r multiplies that product, else the state before it; memory (5, u) */
static void gru(const float *x, const float *kernel, const float *recurrent, const float *bias, const float *state_bias,
                const float *mask, float *memory, float *out, int t, int d, int u, int backwards, int sequences,
                int zero, int after, void (*activation)(float *, int), void (*gate)(float *, int))
{
    float *h = memory, *passed = memory + u, *z = memory + 2 * u;
    for (int j = 0; j < u; j++) h[j] = 0.0f;
    for (int p = 0; p < t; p++) {
        const int s = backwards ? t - 1 - p : p, skipped = mask && !(mask[s] > 0.0f);
        if (!skipped) {
            for (int j = 0; j < 3 * u; j++) z[j] = bias ? bias[j] : 0.0f;
            if (state_bias)
                for (int j = 0; j < 2 * u; j++) z[j] += state_bias[j];
            multiply_add(x + s * d, kernel, z, d, 3 * u, 0, 3 * u);
            multiply_add(h, recurrent, z, u, 3 * u, 0, 2 * u);
            gate(z, u);
            gate(z + u, u);
            if (after) {
                for (int j = 0; j < u; j++) passed[j] = state_bias ? state_bias[2 * u + j] : 0.0f;
                multiply_add(h, recurrent, passed, u, 3 * u, 2 * u, u);
                for (int j = 0; j < u; j++) z[2 * u + j] += z[u + j] * passed[j];
            } else {
                for (int j = 0; j < u; j++) passed[j] = z[u + j] * h[j];
                multiply_add(passed, recurrent, z + 2 * u, u, 3 * u, 2 * u, u);
            }
            activation(z + 2 * u, u);
            for (int j = 0; j < u; j++) h[j] = z[j] * h[j] + (1.0f - z[j]) * z[2 * u + j];
        }
        if (sequences || p == t - 1) step_out(h, sequences ? out + p * u : out, u, skipped, zero);
    }
}
""",
    "merge": """
/* out (t, 2u) side by side (mode 0), or (t, u) sum, product, mean (1, 2, 3) of x (t, u) and y (t, u) from the last
   step to the first */
static void merge(const float *x, const float *y, float *out, int t, int u, int mode)
{
    const int k = mode == 0 ? 2 * u : u;
    for (int s = 0; s < t; s++)
        for (int j = 0; j < u; j++) {
            const float a = x[s * u + j], b = y[(t - 1 - s) * u + j];
            out[s * k + j] = mode == 0 ? a : mode == 1 ? a + b : mode == 2 ? a * b : 0.5f * (a + b);
            if (mode == 0) out[s * k + u + j] = b;
        }
}
""",
}
