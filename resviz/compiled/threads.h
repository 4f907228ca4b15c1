/* Work that threads share. */

/* each(all, n) for n from 0 to count - 1, on so many threads at most */
void share(void (*each)(void *all, long long n), void *all, long long count, int threads);
