/* Work that threads share, and what the library shows: another library's names are not mixed up with
   those that it does not. */

#define SHOWN __attribute__((visibility("default")))

/* each(all, n) for n from 0 to count - 1, on so many threads at most */
void share(void (*each)(void *all, long long n), void *all, long long count, int threads);
