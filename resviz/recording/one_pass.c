/* Sums over float32 numbers in one pass; compiled.py builds this where there is a compiler.

   Thirty-two lanes, each added up on its own, so that the compiler can use vector instructions and the
   order of additions is always the same. After every 512 numbers the lanes are added up in double.
   What is not finite is left to the caller, who sees it in the sums. */

#define LANES 32
#define ROW 512

/* out: sum, sum of squares, smallest, largest, how many are exactly 0 */
void moments(const float *x, long long count, double *out)
{
    double sum = 0.0, squares = 0.0, zeros = 0.0;
    float low[LANES], high[LANES];
    for (int k = 0; k < LANES; k++)
        low[k] = high[k] = x[0];
    for (long long at = 0; at < count;) {
        float s[LANES] = {0}, q[LANES] = {0};
        int z[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES)
            for (int k = 0; k < LANES; k++) {
                float v = x[at + k];
                s[k] += v;
                q[k] += v * v;
                low[k] = v < low[k] ? v : low[k];
                high[k] = v > high[k] ? v : high[k];
                z[k] += v == 0.0f;
            }
        for (int k = 0; at < end; at++, k++) {
            float v = x[at];
            s[k] += v;
            q[k] += v * v;
            low[k] = v < low[k] ? v : low[k];
            high[k] = v > high[k] ? v : high[k];
            z[k] += v == 0.0f;
        }
        for (int k = 0; k < LANES; k++) {
            sum += s[k];
            squares += q[k];
            zeros += z[k];
        }
    }
    for (int k = 1; k < LANES; k++) {
        low[0] = low[k] < low[0] ? low[k] : low[0];
        high[0] = high[k] > high[0] ? high[k] : high[0];
    }
    out[0] = sum;
    out[1] = squares;
    out[2] = low[0];
    out[3] = high[0];
    out[4] = zeros;
}

/* the sum of x[i] * y[i] */
double products(const float *x, const float *y, long long count)
{
    double sum = 0.0;
    for (long long at = 0; at < count;) {
        float s[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES)
            for (int k = 0; k < LANES; k++)
                s[k] += x[at + k] * y[at + k];
        for (int k = 0; at < end; at++, k++)
            s[k] += x[at] * y[at];
        for (int k = 0; k < LANES; k++)
            sum += s[k];
    }
    return sum;
}
