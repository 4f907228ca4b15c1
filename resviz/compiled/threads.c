/* Work that threads share.

   Threads are those that torch has waiting, where it computes with GNU's OpenMP: to start others takes
   longer than to read some megabytes. Each begins with the share that it wrote, as torch divides a
   tensor, which may still be near it. */

#include <pthread.h>

#include "threads.h"

#define MOST 16 /* threads */

struct work {
    void (*each)(void *all, long long n);
    void *all;
    long long count, next[MOST]; /* next: of each thread's share */
    int threads, entered;
};

static void (*start_team)(void (*)(void *), void *, unsigned, unsigned);
static int (*number_in_team)(void);

/* torch's own threads: OpenMP's functions, as GNU has them */
SHOWN void use_team(void *start, void *number)
{
    start_team = (void (*)(void (*)(void *), void *, unsigned, unsigned))start;
    number_in_team = (int (*)(void))number;
}

/* its own share, then what others have left of theirs */
static void take(void *given)
{
    struct work *work = given;
    int own = __atomic_fetch_add(&work->entered, 1, __ATOMIC_RELAXED);
    if (start_team && work->threads > 1)
        own = number_in_team();
    for (int k = 0; k < work->threads; k++) {
        int share = (own + k) % work->threads;
        long long end = work->count * (share + 1) / work->threads;
        for (;;) {
            long long n = __atomic_fetch_add(&work->next[share], 1, __ATOMIC_RELAXED);
            if (n >= end)
                break;
            work->each(work->all, n);
        }
    }
}

static void *take_alone(void *given)
{
    take(given);
    return 0;
}

/* this thread works too; one that does not start is not missed */
void share(void (*each)(void *all, long long n), void *all, long long count, int threads)
{
    struct work work = {.each = each, .all = all, .count = count};
    pthread_t others[MOST];
    int started = 0;
    threads = threads < MOST ? threads : MOST;
    work.threads = count > 1 && threads > 1 ? threads : 1;
    for (int k = 0; k < work.threads; k++)
        work.next[k] = count * k / work.threads;
    if (start_team && work.threads > 1) {
        start_team(take, &work, work.threads, 0);
        return;
    }
    for (int k = 1; k < work.threads; k++)
        started += pthread_create(&others[started], 0, take_alone, &work) == 0;
    take(&work);
    for (int k = 0; k < started; k++)
        pthread_join(others[k], 0);
}
