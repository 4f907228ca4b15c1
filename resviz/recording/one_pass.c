/* Sums over float32 numbers in one pass; compiled.py builds this where there is a compiler.

   Thirty-two lanes, each added up on its own, so that the compiler can use vector instructions and the
   order of additions is always the same. After every 512 numbers the lanes are added up in double.
   What is not finite is left to the caller, who sees it in the sums.

   Large tensors are cut into parts of one size, whatever the number of threads, and the parts are
   added up in their order: a sum does not depend on how many threads there are. */

#include <pthread.h>

#define LANES 32
#define ROW 512
#define PART (1LL << 18) /* numbers in a part of a large tensor: 1 MB */
#define MOST 16          /* threads */
#define PIECES 64        /* handed out together */

/* out: sum, sum of squares, smallest, largest, how many are exactly 0 */
static void moments_of(const float *x, long long count, double *out)
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
static double products_of(const float *x, const float *y, long long count)
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

/* ---- pieces of work, taken by threads one after the other */
struct piece {
    const float *x, *y; /* y: their products; else moments of x */
    long long count;
    double *out;
};

struct work {
    const struct piece *pieces;
    long long count, next;
};

static void *take(void *given)
{
    struct work *work = given;
    for (;;) {
        long long n = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
        if (n >= work->count)
            return 0;
        const struct piece *p = &work->pieces[n];
        if (p->y)
            *p->out = products_of(p->x, p->y, p->count);
        else
            moments_of(p->x, p->count, p->out);
    }
}

/* this thread works too; one that does not start is not missed */
static void share(const struct piece *pieces, long long count, int threads)
{
    struct work work = {pieces, count, 0};
    pthread_t others[MOST];
    int started = 0;
    for (int k = 1; k < threads && k < MOST && k < count; k++)
        started += pthread_create(&others[started], 0, take, &work) == 0;
    take(&work);
    for (int k = 0; k < started; k++)
        pthread_join(others[k], 0);
}

/* some parts at a time: nothing is allocated */
void moments(const float *x, long long count, double *out, int threads)
{
    double found[PIECES][5];
    struct piece pieces[PIECES];
    out[0] = out[1] = out[4] = 0.0;
    out[2] = out[3] = x[0];
    for (long long at = 0; at < count;) {
        int n = 0;
        for (; n < PIECES && at < count; n++, at += PART)
            pieces[n] = (struct piece){x + at, 0, count - at < PART ? count - at : PART, found[n]};
        share(pieces, n, threads);
        for (int k = 0; k < n; k++) {
            out[0] += found[k][0];
            out[1] += found[k][1];
            out[2] = found[k][2] < out[2] ? found[k][2] : out[2];
            out[3] = found[k][3] > out[3] ? found[k][3] : out[3];
            out[4] += found[k][4];
        }
    }
}

double products(const float *x, const float *y, long long count, int threads)
{
    double found[PIECES], sum = 0.0;
    struct piece pieces[PIECES];
    for (long long at = 0; at < count;) {
        int n = 0;
        for (; n < PIECES && at < count; n++, at += PART)
            pieces[n] = (struct piece){x + at, y + at, count - at < PART ? count - at : PART, &found[n]};
        share(pieces, n, threads);
        for (int k = 0; k < n; k++)
            sum += found[k];
    }
    return sum;
}

/* the sum of squares of each of several tensors */
void squares(const float *const *x, const long long *counts, int number, double *out, int threads)
{
    struct piece pieces[PIECES];
    for (int at = 0; at < number;) {
        int n = 0;
        for (; n < PIECES && at < number; n++, at++)
            pieces[n] = (struct piece){x[at], x[at], counts[at], &out[at]};
        share(pieces, n, threads);
    }
}
