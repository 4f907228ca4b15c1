/* Sums over float32 numbers in one pass; library.py builds this where there is a compiler.

   Thirty-two lanes, each added up on its own, so that the compiler can use vector instructions and the
   order of additions is always the same. After every 512 numbers the lanes are added up in double.
   What is not finite is left to the caller, who sees it in the sums.

   Large tensors are cut into parts of one size, whatever the number of threads, and the parts are
   added up in their order: a sum does not depend on how many threads there are. */

#include "threads.h"

#define LANES 32
#define ROW 512
#define PART (1LL << 18) /* numbers in a part of a large tensor: 1 MB */
#define ALONE 4          /* as many parts are not worth a second thread */
#define PIECES 64        /* handed out together */
#define SUMS 5           /* at most, of a piece */

/* out: sum, sum of squares, smallest, largest, how many are exactly 0 */
static void moments_of(const float *x, const float *y, long long count, double *out)
{
    double sum = 0.0, squares = 0.0, zeros = 0.0;
    (void)y;
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

/* out: the sum of x[i] * y[i] */
static void products_of(const float *x, const float *y, long long count, double *out)
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
    *out = sum;
}

/* out: the sums of x[i] * x[i], y[i] * y[i], x[i] * y[i] */
static void pair_of(const float *x, const float *y, long long count, double *out)
{
    double first = 0.0, second = 0.0, both = 0.0;
    for (long long at = 0; at < count;) {
        float s[LANES] = {0}, t[LANES] = {0}, b[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES)
            for (int k = 0; k < LANES; k++) {
                float v = x[at + k], w = y[at + k];
                s[k] += v * v;
                t[k] += w * w;
                b[k] += v * w;
            }
        for (int k = 0; at < end; at++, k++) {
            s[k] += x[at] * x[at];
            t[k] += y[at] * y[at];
            b[k] += x[at] * y[at];
        }
        for (int k = 0; k < LANES; k++) {
            first += s[k];
            second += t[k];
            both += b[k];
        }
    }
    out[0] = first;
    out[1] = second;
    out[2] = both;
}

/* ---- pieces of work */
typedef void sums_of(const float *x, const float *y, long long count, double *out);

struct piece {
    const float *x, *y;
    long long count;
};

struct work {
    sums_of *sums;
    const struct piece *pieces;
    double (*out)[SUMS];
};

static void one_piece(void *given, long long n)
{
    const struct work *work = given;
    const struct piece *p = &work->pieces[n];
    work->sums(p->x, p->y, p->count, work->out[n]);
}

static void each_piece(sums_of *sums, const struct piece *pieces, double (*out)[SUMS], long long count, int threads)
{
    struct work work = {.sums = sums, .pieces = pieces, .out = out};
    share(one_piece, &work, count, count > ALONE ? threads : 1);
}

/* the next parts of a tensor, PIECES at most, and what they give; the number of them */
static int parts(sums_of *sums, const float *x, const float *y, long long count, long long at, double (*found)[SUMS],
                 int threads)
{
    struct piece pieces[PIECES];
    int n = 0;
    for (; n < PIECES && at < count; n++, at += PART)
        pieces[n] = (struct piece){x + at, y ? y + at : 0, count - at < PART ? count - at : PART};
    each_piece(sums, pieces, found, n, threads);
    return n;
}

/* some parts at a time: nothing is allocated */
SHOWN void moments(const float *x, long long count, double *out, int threads)
{
    double found[PIECES][SUMS];
    out[0] = out[1] = out[4] = 0.0;
    out[2] = out[3] = x[0];
    for (long long at = 0; at < count; at += PIECES * PART) {
        int n = parts(moments_of, x, 0, count, at, found, threads);
        for (int k = 0; k < n; k++) {
            out[0] += found[k][0];
            out[1] += found[k][1];
            out[2] = found[k][2] < out[2] ? found[k][2] : out[2];
            out[3] = found[k][3] > out[3] ? found[k][3] : out[3];
            out[4] += found[k][4];
        }
    }
}

SHOWN double products(const float *x, const float *y, long long count, int threads)
{
    double found[PIECES][SUMS], sum = 0.0;
    for (long long at = 0; at < count; at += PIECES * PART) {
        int n = parts(products_of, x, y, count, at, found, threads);
        for (int k = 0; k < n; k++)
            sum += found[k][0];
    }
    return sum;
}

SHOWN void pair(const float *x, const float *y, long long count, double *out, int threads)
{
    double found[PIECES][SUMS];
    out[0] = out[1] = out[2] = 0.0;
    for (long long at = 0; at < count; at += PIECES * PART) {
        int n = parts(pair_of, x, y, count, at, found, threads);
        for (int k = 0; k < n; k++)
            for (int i = 0; i < 3; i++)
                out[i] += found[k][i];
    }
}

/* the sum of squares of each of several tensors */
SHOWN void squares(const float *const *x, const long long *counts, int number, double *out, int threads)
{
    double found[PIECES][SUMS];
    struct piece pieces[PIECES];
    for (int at = 0; at < number; at += PIECES) {
        int n = number - at < PIECES ? number - at : PIECES;
        for (int k = 0; k < n; k++)
            pieces[k] = (struct piece){x[at + k], x[at + k], counts[at + k]};
        each_piece(products_of, pieces, found, n, threads);
        for (int k = 0; k < n; k++)
            out[at + k] = found[k][0];
    }
}
