/* Sums over float32 numbers in one pass; library.py builds this where there is a compiler.

   Several lanes, each added up on its own, so that the compiler can use vector instructions and the
   order of additions is always the same on one machine. After every 512 numbers they are added to
   lanes in double. What is not finite is left to the caller, who sees it in the sums.

   Large tensors are cut into parts of one size, whatever the number of threads, and the parts are
   added up in their order: a sum does not depend on how many threads there are. */

#include "threads.h"

#define LANES 32 /* four vectors of eight: one sum, or two */
#ifdef __AVX512F__
#define FEW 32 /* as many as the registers hold of five sums: to spill them doubles the time */
#else
#define FEW 16
#endif
#define ROW 512
#define AHEAD 1024       /* numbers, 4 kB: the processor itself does not read on over a page */
#define PART (1LL << 18) /* numbers in a part of a large tensor: 1 MB */
#define ALONE 4          /* as many parts are not worth a second thread */
#define PIECES 64        /* handed out together */
#define SUMS 5           /* at most, of a piece */

#ifdef __GNUC__
#define FETCH(x) __builtin_prefetch(x)
#else
#define FETCH(x) (void)(x)
#endif

/* the cache lines that so many numbers will be read from later on */
static inline void fetch(const float *x, int numbers)
{
    for (int k = 0; k < numbers; k += 16)
        FETCH(x + AHEAD + k);
}

static double all_of(const double *lanes, int count)
{
    double sum = 0.0;
    for (int k = 0; k < count; k++)
        sum += lanes[k];
    return sum;
}

/* out: sum, sum of squares, smallest, largest, how many are exactly 0 */
static void moments_of(const float *x, const float *y, long long count, double *out)
{
    double sum[FEW] = {0}, squares[FEW] = {0}, zeros[FEW] = {0};
    float low[FEW], high[FEW];
    (void)y;
    for (int k = 0; k < FEW; k++)
        low[k] = high[k] = x[0];
    for (long long at = 0; at < count;) {
        float s[FEW] = {0}, q[FEW] = {0};
        int z[FEW] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + FEW <= end; at += FEW) {
            fetch(x + at, FEW);
            for (int k = 0; k < FEW; k++) {
                float v = x[at + k];
                s[k] += v;
                q[k] += v * v;
                low[k] = v < low[k] ? v : low[k];
                high[k] = v > high[k] ? v : high[k];
                z[k] += v == 0.0f;
            }
        }
        for (int k = 0; at < end; at++, k++) {
            float v = x[at];
            s[k] += v;
            q[k] += v * v;
            low[k] = v < low[k] ? v : low[k];
            high[k] = v > high[k] ? v : high[k];
            z[k] += v == 0.0f;
        }
        for (int k = 0; k < FEW; k++) {
            sum[k] += s[k];
            squares[k] += q[k];
            zeros[k] += z[k];
        }
    }
    for (int k = 1; k < FEW; k++) {
        low[0] = low[k] < low[0] ? low[k] : low[0];
        high[0] = high[k] > high[0] ? high[k] : high[0];
    }
    out[0] = all_of(sum, FEW);
    out[1] = all_of(squares, FEW);
    out[2] = low[0];
    out[3] = high[0];
    out[4] = all_of(zeros, FEW);
}

/* out: the sum of x[i] * x[i] */
static void squares_of(const float *x, const float *y, long long count, double *out)
{
    double sum[LANES] = {0};
    (void)y;
    for (long long at = 0; at < count;) {
        float s[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES) {
            fetch(x + at, LANES);
            for (int k = 0; k < LANES; k++)
                s[k] += x[at + k] * x[at + k];
        }
        for (int k = 0; at < end; at++, k++)
            s[k] += x[at] * x[at];
        for (int k = 0; k < LANES; k++)
            sum[k] += s[k];
    }
    *out = all_of(sum, LANES);
}

/* out: the sum of x[i] * y[i] */
static void products_of(const float *x, const float *y, long long count, double *out)
{
    double sum[LANES] = {0};
    for (long long at = 0; at < count;) {
        float s[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES)
            for (int k = 0; k < LANES; k++)
                s[k] += x[at + k] * y[at + k];
        for (int k = 0; at < end; at++, k++)
            s[k] += x[at] * y[at];
        for (int k = 0; k < LANES; k++)
            sum[k] += s[k];
    }
    *out = all_of(sum, LANES);
}

/* out: the sums of x[i] * x[i], y[i] * y[i], x[i] * y[i] */
static void pair_of(const float *x, const float *y, long long count, double *out)
{
    double first[LANES] = {0}, second[LANES] = {0}, both[LANES] = {0};
    for (long long at = 0; at < count;) {
        float s[LANES] = {0}, t[LANES] = {0}, b[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES) {
            fetch(x + at, LANES);
            fetch(y + at, LANES);
            for (int k = 0; k < LANES; k++) {
                float v = x[at + k], w = y[at + k];
                s[k] += v * v;
                t[k] += w * w;
                b[k] += v * w;
            }
        }
        for (int k = 0; at < end; at++, k++) {
            s[k] += x[at] * x[at];
            t[k] += y[at] * y[at];
            b[k] += x[at] * y[at];
        }
        for (int k = 0; k < LANES; k++) {
            first[k] += s[k];
            second[k] += t[k];
            both[k] += b[k];
        }
    }
    out[0] = all_of(first, LANES);
    out[1] = all_of(second, LANES);
    out[2] = all_of(both, LANES);
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
    sums_of *sums = x == y ? squares_of : products_of; /* read once */
    for (long long at = 0; at < count; at += PIECES * PART) {
        int n = parts(sums, x, y, count, at, found, threads);
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
            pieces[k] = (struct piece){x[at + k], 0, counts[at + k]};
        each_piece(squares_of, pieces, found, n, threads);
        for (int k = 0; k < n; k++)
            out[at + k] = found[k][0];
    }
}
