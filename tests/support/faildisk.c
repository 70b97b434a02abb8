/* Makes the operations on files under one folder fail while a file says so.
 *
 *   LD_PRELOAD=faildisk.so FAILDISK_UNDER=FOLDER FAILDISK_NOW=FILE program
 *
 * FILE holds the number of the error, and how many of a hundred operations fail. Without FILE
 * nothing fails.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_under(const char *path) {
    const char *under = getenv("FAILDISK_UNDER");
    return under && strncmp(path, under, strlen(under)) == 0;
}

static int fails_now(void) {
    const char *now = getenv("FAILDISK_NOW");
    char text[32] = {0};
    int number = 0, percent = 100;
    int fd = now ? (int)syscall(SYS_openat, AT_FDCWD, now, O_RDONLY) : -1;
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, text, sizeof text - 1) < 0) text[0] = 0;
    syscall(SYS_close, fd);
    if (sscanf(text, "%d %d", &number, &percent) < 1) return 0;
    static unsigned seed;
    if (!seed) seed = (unsigned)getpid();
    if (rand_r(&seed) % 100 >= percent) return 0;
    errno = number;
    return 1;
}

static int bad_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return is_under(path) && fails_now();
}

static int bad_name(int folder, const char *path) {
    if (path[0] != '/' && folder != AT_FDCWD) return bad_fd(folder);
    return is_under(path) && fails_now();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return bad_name(AT_FDCWD, path) ? -1 : REAL(name)(path, flags, mode); }
OPEN(open)
OPEN(open64)

#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    return bad_name(folder, path) ? -1 : REAL(name)(folder, path, flags, mode); }
OPENAT(openat)
OPENAT(openat64)

#define ON_FILE(type, name, parameters, ...) type name parameters { \
    return bad_fd(fd) ? -1 : REAL(name)(__VA_ARGS__); }
ON_FILE(ssize_t, read, (int fd, void *data, size_t n), fd, data, n)
ON_FILE(ssize_t, write, (int fd, const void *data, size_t n), fd, data, n)
ON_FILE(ssize_t, pread, (int fd, void *data, size_t n, off_t at), fd, data, n, at)
ON_FILE(ssize_t, pread64, (int fd, void *data, size_t n, off64_t at), fd, data, n, at)
ON_FILE(ssize_t, pwrite, (int fd, const void *data, size_t n, off_t at), fd, data, n, at)
ON_FILE(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t at), fd, data, n, at)
ON_FILE(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
ON_FILE(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
ON_FILE(int, fsync, (int fd), fd)
ON_FILE(int, ftruncate, (int fd, off_t n), fd, n)
ON_FILE(int, ftruncate64, (int fd, off64_t n), fd, n)
ON_FILE(int, flock, (int fd, int how), fd, how)

#define ON_NAME(name, parameters, ...) int name parameters { \
    return bad_name(folder, path) ? -1 : REAL(name)(__VA_ARGS__); }
ON_NAME(mkdirat, (int folder, const char *path, mode_t mode), folder, path, mode)
ON_NAME(unlinkat, (int folder, const char *path, int flags), folder, path, flags)
ON_NAME(fstatat, (int folder, const char *path, struct stat *found, int flags), folder, path,
        found, flags)
ON_NAME(utimensat, (int folder, const char *path, const struct timespec times[2], int flags), folder,
        path, times, flags)
ON_NAME(renameat, (int folder, const char *path, int to, const char *other), folder, path, to, other)
ON_NAME(linkat, (int folder, const char *path, int to, const char *other, int flags), folder, path,
        to, other, flags)
