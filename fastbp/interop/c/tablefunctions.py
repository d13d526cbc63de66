"""The C functions that tabular estimators call beside those of networks."""

FUNCTIONS = {
    "scaled": """
/* a number scaled robustly, and smoothly into (-3, 3); NaN is at the median */
static float scaled(double value, double median, double width)
{
    if (isnan(value)) return 0.0f;
    const double z = fmin(fmax((value - median) / width, -1e6), 1e6);
    return (float)(z / sqrt(1.0 + (z / 3.0) * (z / 3.0)));
}
""",
    "on_the_line": """
/* a number on the line through two that training knew */
static float on_the_line(double value, double low, double high, double below, double above, double missing,
                         double limit)
{
    if (isnan(value)) return (float)missing;
    return (float)fmin(fmax(below + (value - low) / (high - low) * (above - below), -limit), limit);
}
""",
    "code_of": """
/* the code of a category that is a number */
static int code_of(double value, const double *keys, const int *codes, int n, int other)
{
    if (isnan(value)) return 0;
    for (int i = 0; i < n; i++)
        if (!(value < keys[i]) && !(value > keys[i])) return codes[i];
    return other;
}
""",
    "clock": """
/* what clocks show, in seconds since 1970, at a time in UTC: the offset `first`, and its changes by so many seconds */
static double clock_of(double time, double first, const double *changes, const double *steps, int n)
{
    double shown = time + first;
    for (int i = 0; i < n && changes[i] <= time; i++) shown += steps[i];
    return shown;
}
""",
    "days": """
/* whole days since 1970 */
static double days_of(double clock)
{
    return floor(clock / 86400.0);
}
""",
    "civil": """
/* year, month from March on, days since its first, and since the first of March, of days since 1970 */
static void civil(double days, long *year, long *month, long *day, long *of_year)
{
    const long shifted = (long)days + 719468, era = shifted / 146097, of_era = shifted % 146097;
    const long years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    *of_year = of_era - (365 * years + years / 4 - years / 100);
    *month = (5 * *of_year + 2) / 153;
    *day = *of_year - (153 * *month + 2) / 5;
    *year = years + era * 400;
}
""",
    "day_of_year": """
static double day_of_year(double clock)
{
    long year, month, day, of_year;
    if (isnan(clock)) return clock;
    civil(days_of(clock), &year, &month, &day, &of_year);
    const long leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return (double)(month < 10 ? of_year + 59 + leap : of_year - 306);
}
""",
    "day_of_month": """
static double day_of_month(double clock)
{
    long year, month, day, of_year;
    if (isnan(clock)) return clock;
    civil(days_of(clock), &year, &month, &day, &of_year);
    return (double)day;
}
""",
    "weekday": """
static double weekday(double clock)
{
    const double days = days_of(clock) + 3.0;
    return days - 7.0 * floor(days / 7.0);
}
""",
    "hour": """
static double hour(double clock)
{
    return (clock - 86400.0 * days_of(clock)) / 3600.0;
}
""",
    "divide": """
/* x (n,) /= number */
static void divide(float *x, float number, int n)
{
    for (int i = 0; i < n; i++) x[i] /= number;
}
""",
    "temper": """
/* probabilities p (n,) = p ** (1 / temperature), normalised */
static void temper(float *p, float temperature, float smallest, int n)
{
    float top = -INFINITY, total = 0.0f;
    for (int i = 0; i < n; i++) {
        p[i] = logf(fmaxf(p[i], smallest)) / temperature;
        top = fmaxf(top, p[i]);
    }
    for (int i = 0; i < n; i++) total += p[i] = expf(p[i] - top);
    for (int i = 0; i < n; i++) p[i] /= total;
}
""",
    "join_repeats": """
/* outputs (k,) = (strength * outputs + sums) / (strength + counts) of training rows with the same features x (d,) */
static void join_repeats(float *outputs, const float *x, const uint64_t *keys, const float *sums, const float *counts,
                         const uint64_t *factors, int n, int d, int k, float strength)
{
    uint64_t key = 0;
    for (int i = 0; i < d; i++) {
        const float entry = x[i] + 0.0f; /* -0 becomes 0 */
        uint32_t bits;
        memcpy(&bits, &entry, sizeof bits);
        uint64_t mixed = bits * factors[i];
        mixed ^= mixed >> 29;
        mixed *= 0xBF58476D1CE4E5B9ULL;
        mixed ^= mixed >> 32;
        key += mixed;
    }
    int low = 0, high = n - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    if (keys[low] != key) return;
    for (int j = 0; j < k; j++)
        outputs[j] = (strength * outputs[j] + sums[low * k + j]) / (strength + counts[low]);
}
""",
    "shares": """
/* out (n,) = x / factors, normalised */
static void shares(const float *x, const double *factors, double *out, int n)
{
    double total = 0.0;
    for (int i = 0; i < n; i++) {
        out[i] = (double)x[i] / (factors && factors[i] > 0.0 ? factors[i] : 1.0);
        total += out[i];
    }
    for (int i = 0; i < n; i++) out[i] /= total;
}
""",
    "decode": """
/* a standardised number as a quantity, within the range of training */
static double decode(float value, double mean, double scale, double low, double high)
{
    const double z = fmin(fmax((double)value, (low - mean) / scale), (high - mean) / scale);
    return fmin(fmax(z * scale + mean, low), high);
}
""",
    "sort": """
/* x (n,) in rising order */
static void sort(double *x, int n)
{
    for (int i = 1; i < n; i++) {
        const double value = x[i];
        int j = i;
        for (; j > 0 && x[j - 1] > value; j--) x[j] = x[j - 1];
        x[j] = value;
    }
}
""",
}
