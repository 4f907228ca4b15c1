/* Class activation maps of one layer, from activations and a gradient that are read once.

   Both are (images, channels, positions), float32. A channel of both lies in the cache while all that is
   made of it is made: sums over its positions, and what it adds to each map. The formulas are those of
   resviz/attribution/formulas/cam.py, where their papers are named.

   The channels of an image are cut into parts of one size, each with maps of its own, which are added up
   in their order: a map does not depend on how many threads there are. */

#include "threads.h"

#define LANES 16
#define ROW 2048         /* numbers that are added up in float32, lane by lane */
#define PART (1LL << 16) /* numbers of a part at least, where there are as many */
#define MOST 8           /* parts of an image: each has maps of its own */
#define BLOCK 32         /* channels whose maps are added up before they are added to the part's */

enum { GRAD_CAM, GRAD_CAM_PP, HIRES_CAM, XGRAD_CAM, LAYER_CAM, MAPS };
enum { SUM, SQUARES, SLOPE, SLOPE_SQUARES, PRODUCT, SUMS };

struct layer {
    const float *activations, *gradient;
    long long images, channels, positions, wide, parts; /* wide: channels of a part */
    const int *wanted;                                  /* the maps that are, in order */
    int count;
    float *maps;             /* images x parts x 2 x count x positions; 0 before */
    double (*squares)[2];    /* images x channels: of activations, of the gradient */
};

static void sums_of(const float *a, const float *g, long long count, double *out)
{
    for (int i = 0; i < SUMS; i++)
        out[i] = 0.0;
    for (long long at = 0; at < count;) {
        float lanes[SUMS][LANES] = {{0}};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES)
            for (int k = 0; k < LANES; k++) {
                float v = a[at + k], w = g[at + k];
                lanes[SUM][k] += v;
                lanes[SQUARES][k] += v * v;
                lanes[SLOPE][k] += w;
                lanes[SLOPE_SQUARES][k] += w * w;
                lanes[PRODUCT][k] += v * w;
            }
        for (int k = 0; at < end; at++, k++) {
            float v = a[at], w = g[at];
            lanes[SUM][k] += v;
            lanes[SQUARES][k] += v * v;
            lanes[SLOPE][k] += w;
            lanes[SLOPE_SQUARES][k] += w * w;
            lanes[PRODUCT][k] += v * w;
        }
        for (int i = 0; i < SUMS; i++)
            for (int k = 0; k < LANES; k++)
                out[i] += lanes[i][k];
    }
}

/* half the sum over g > 0 of g / (1 + half g), where that is positive */
static double weight_pp(const float *g, float half, long long count)
{
    double sum = 0.0;
    for (long long at = 0; at < count;) {
        float lanes[LANES] = {0};
        long long end = at + ROW < count ? at + ROW : count;
        for (; at + LANES <= end; at += LANES)
            for (int k = 0; k < LANES; k++) {
                float w = g[at + k] > 0.0f ? g[at + k] : 0.0f;
                float below = 1.0f + half * w, term = w / below;
                lanes[k] += below > 0.0f ? term : 0.0f;
            }
        for (int k = 0; at < end; at++, k++) {
            float w = g[at] > 0.0f ? g[at] : 0.0f;
            float below = 1.0f + half * w, term = w / below;
            lanes[k] += below > 0.0f ? term : 0.0f;
        }
        for (int k = 0; k < LANES; k++)
            sum += lanes[k];
    }
    return sum / 2.0;
}

static void add_weighted(float *restrict map, const float *restrict a, float weight, long long count)
{
    for (long long p = 0; p < count; p++)
        map[p] += weight * a[p];
}

static void add_product(float *restrict map, const float *restrict a, const float *restrict g, long long count)
{
    for (long long p = 0; p < count; p++)
        map[p] += g[p] * a[p];
}

static void add_positive(float *restrict map, const float *restrict a, const float *restrict g, long long count)
{
    for (long long p = 0; p < count; p++)
        map[p] += (g[p] > 0.0f ? g[p] : 0.0f) * a[p];
}

/* what one channel adds to a map */
static void add(int map, float *out, const float *a, const float *g, const double *sums, long long count)
{
    if (map == HIRES_CAM)
        add_product(out, a, g, count);
    else if (map == LAYER_CAM)
        add_positive(out, a, g, count);
    else if (map == GRAD_CAM)
        add_weighted(out, a, (float)(sums[SLOPE] / count), count);
    else if (map == GRAD_CAM_PP)
        add_weighted(out, a, (float)weight_pp(g, (float)(sums[SUM] / 2.0), count), count);
    else if (sums[SUM] != 0.0)
        add_weighted(out, a, (float)(sums[PRODUCT] / sums[SUM]), count);
}

/* adds what is in one to the other, and leaves 0 */
static void move(float *restrict to, float *restrict from, long long count)
{
    for (long long p = 0; p < count; p++) {
        to[p] += from[p];
        from[p] = 0.0f;
    }
}

static void one_part(void *given, long long n)
{
    const struct layer *layer = given;
    long long image = n / layer->parts, count = layer->positions;
    long long first = n % layer->parts * layer->wide;
    long long end = first + layer->wide < layer->channels ? first + layer->wide : layer->channels;
    float *whole = layer->maps + n * 2 * layer->count * count, *block = whole + layer->count * count;
    for (long long channel = first; channel < end; channel++) {
        long long row = image * layer->channels + channel;
        const float *a = layer->activations + row * count, *g = layer->gradient + row * count;
        double sums[SUMS];
        sums_of(a, g, count, sums);
        layer->squares[row][0] = sums[SQUARES];
        layer->squares[row][1] = sums[SLOPE_SQUARES];
        for (int k = 0; k < layer->count; k++)
            add(layer->wanted[k], block + k * count, a, g, sums, count);
        if ((channel - first) % BLOCK == BLOCK - 1 || channel == end - 1)
            move(whole, block, layer->count * count);
    }
}

static long long channels_of_part(long long channels, long long positions)
{
    long long wide = PART / positions, least = (channels + MOST - 1) / MOST;
    wide = wide > least ? wide : least;
    return wide < channels ? wide : channels;
}

static long long parts_of(long long channels, long long positions)
{
    long long wide = channels_of_part(channels, positions);
    return (channels + wide - 1) / wide;
}

/* how many numbers each map of an image needs room for */
SHOWN long long room_of(long long channels, long long positions)
{
    return 2 * positions * parts_of(channels, positions);
}

/* The maps that are wanted, (images, parts, 2, count, positions), of which the first of part 0 become the
   sums. All are 0 before. squares: (images, channels, 2). */
SHOWN void class_maps(const float *activations, const float *gradient, long long images, long long channels,
                      long long positions, const int *wanted, int count, float *maps, double *squares,
                      int threads)
{
    struct layer layer = {.activations = activations, .gradient = gradient, .images = images};
    layer.channels = channels;
    layer.positions = positions;
    layer.wide = channels_of_part(channels, positions);
    layer.parts = parts_of(channels, positions);
    layer.wanted = wanted;
    layer.count = count;
    layer.maps = maps;
    layer.squares = (double(*)[2])squares;
    share(one_part, &layer, images * layer.parts, threads);
    for (long long image = 0; image < images; image++) {
        float *whole = maps + image * layer.parts * 2 * count * positions;
        for (long long part = 1; part < layer.parts; part++)
            move(whole, whole + part * 2 * count * positions, count * positions);
    }
}
