/* A wall clock that can be stepped for one process, while the time that nobody may step goes on as it is.
 *
 * Preloaded (LD_PRELOAD) it adds the nanoseconds found in the file CLOCKSTEP_FILE (8 bytes, native order) to every reading
 * of CLOCK_REALTIME, gettimeofday and time. The file is mapped: who writes to it steps the clock at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const volatile int64_t none = 0;
static const volatile int64_t *offset = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCKSTEP_FILE");
    real_clock_gettime = (__typeof__(real_clock_gettime))dlsym(RTLD_NEXT, "clock_gettime");
    if (path == NULL) {
        return;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        abort(); /* a test that steps nothing would prove nothing */
    }
    void *mapped = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        abort();
    }
    offset = mapped;
    close(file);
}

static void shift(struct timespec *time) {
    int64_t all = (int64_t)time->tv_sec * SECOND + time->tv_nsec + *offset;
    time->tv_sec = all / SECOND;
    time->tv_nsec = all % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (real_clock_gettime == NULL) { /* another library's constructor came first */
        real_clock_gettime = (__typeof__(real_clock_gettime))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int answer = real_clock_gettime(clock, time);
    if (answer == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        shift(time);
    }
    return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    (void)zone; /* obsolete, and ignored by the C library too */
    if (clock_gettime(CLOCK_REALTIME, &time) != 0) {
        return -1;
    }
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec time;
    if (clock_gettime(CLOCK_REALTIME, &time) != 0) {
        return -1;
    }
    if (now != NULL) {
        *now = time.tv_sec;
    }
    return time.tv_sec;
}
