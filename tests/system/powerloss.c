/* Watches what a process writes to a SQLite database, and what of it the disk has confirmed.
 *
 * Preloaded (LD_PRELOAD) it appends a record to the file POWERLOSS_LOG for every write, truncation and sync of the
 * files whose name contains POWERLOSS_FILE. A replay of the log up to any record, with only some of the writes that no
 * sync had confirmed by then, is what a disk may hold after the power went at that moment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE = 1, SYNC = 2, TRUNCATE = 3 };

struct record {
    uint8_t kind;
    uint8_t file; /* 1: the database, 2: its write-ahead log */
    uint8_t unused[6];
    int64_t offset;
    int64_t length;
};

#define MOST_FILES 65536
static uint8_t watched[MOST_FILES];
static int log_file = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void note(uint8_t kind, int file, int64_t offset, const void *data, int64_t length) {
    struct record record = {.kind = kind, .file = watched[file], .offset = offset, .length = length};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, kind == WRITE ? (size_t)length : 0}};
    pthread_mutex_lock(&lock);
    if (log_file < 0) {
        log_file = REAL(open)(getenv("POWERLOSS_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    if (writev(log_file, parts, 2) != (ssize_t)(sizeof record + parts[1].iov_len)) {
        abort(); /* a log with a hole would prove nothing */
    }
    pthread_mutex_unlock(&lock);
}

static int is_watched(int file) { return file >= 0 && file < MOST_FILES && watched[file]; }

static int opened(int file, const char *path) {
    const char *name = getenv("POWERLOSS_FILE");
    if (file < 0 || file >= MOST_FILES || name == NULL) {
        return file;
    }
    const char *found = strstr(path, name);
    watched[file] = 0;
    if (found != NULL) {
        const char *suffix = found + strlen(name);
        watched[file] = *suffix == '\0' ? 1 : strcmp(suffix, "-wal") == 0 ? 2 : 0;
    }
    return file;
}

static mode_t mode_of(int flags, va_list arguments) { return flags & O_CREAT ? va_arg(arguments, mode_t) : 0; }

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode_t mode = mode_of(flags, arguments);                                                                       \
        va_end(arguments);                                                                                             \
        return opened(REAL(name)(path, flags, mode), path);                                                            \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    if (is_watched(file)) {
        watched[file] = 0;
    }
    return REAL(close)(file);
}

ssize_t write(int file, const void *data, size_t length) {
    int64_t offset = is_watched(file) ? lseek(file, 0, SEEK_CUR) : 0;
    ssize_t written = REAL(write)(file, data, length);
    if (written > 0 && is_watched(file)) {
        note(WRITE, file, offset, data, written);
    }
    return written;
}

#define PWRITE(name, type)                                                                                             \
    ssize_t name(int file, const void *data, size_t length, type offset) {                                             \
        ssize_t written = REAL(name)(file, data, length, offset);                                                      \
        if (written > 0 && is_watched(file)) {                                                                         \
            note(WRITE, file, offset, data, written);                                                                  \
        }                                                                                                              \
        return written;                                                                                                \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define FTRUNCATE(name, type)                                                                                          \
    int name(int file, type length) {                                                                                  \
        int answer = REAL(name)(file, length);                                                                         \
        if (answer == 0 && is_watched(file)) {                                                                         \
            note(TRUNCATE, file, length, NULL, 0);                                                                     \
        }                                                                                                              \
        return answer;                                                                                                 \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define SYNC_CALL(name)                                                                                                \
    int name(int file) {                                                                                               \
        int answer = REAL(name)(file);                                                                                 \
        if (answer == 0 && is_watched(file)) {                                                                         \
            note(SYNC, file, 0, NULL, 0);                                                                              \
        }                                                                                                              \
        return answer;                                                                                                 \
    }
SYNC_CALL(fsync)
SYNC_CALL(fdatasync)
