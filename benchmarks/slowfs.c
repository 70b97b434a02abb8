/* Adds a delay to every file operation under one folder, as a network disk does.
 *
 *   LD_PRELOAD=slowfs.so program
 *
 * The program calls slowfs_begin. From then on operations by name are delayed if the name starts
 * with the prefix, and operations on an open file if it was opened by such a name. The process
 * sleeps: others run meanwhile, as on a real disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 65536 };
static char slow[MOST]; /* by descriptor */
static const char *prefix;
static struct timespec delay;

void slowfs_begin(const char *folder, long microseconds) {
    prefix = strdup(folder);
    delay.tv_sec = microseconds / 1000000;
    delay.tv_nsec = microseconds % 1000000 * 1000;
}

static int named(const char *path) {
    return prefix && path && strncmp(path, prefix, strlen(prefix)) == 0;
}
static int opened(int fd) { return fd >= 0 && fd < MOST && slow[fd]; }
static void wait_if(int is_slow) {
    if (is_slow) nanosleep(&delay, NULL);
}
static int note(int fd, const char *path) {
    if (fd >= 0 && fd < MOST) slow[fd] = (char)named(path);
    return fd;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    wait_if(named(path)); return note(REAL(name)(path, flags, mode), path); }
OPEN(open)
OPEN(open64)

#define OPENAT(name) int name(int folder, const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
    wait_if(named(path)); return note(REAL(name)(folder, path, flags, mode), path); }
OPENAT(openat)
OPENAT(openat64)

#define ON_FILE(type, name, parameters, ...) type name parameters { \
    wait_if(opened(fd)); return REAL(name)(__VA_ARGS__); }
ON_FILE(ssize_t, read, (int fd, void *data, size_t n), fd, data, n)
ON_FILE(ssize_t, write, (int fd, const void *data, size_t n), fd, data, n)
ON_FILE(ssize_t, pread, (int fd, void *data, size_t n, off_t at), fd, data, n, at)
ON_FILE(ssize_t, pread64, (int fd, void *data, size_t n, off64_t at), fd, data, n, at)
ON_FILE(ssize_t, pwrite, (int fd, const void *data, size_t n, off_t at), fd, data, n, at)
ON_FILE(ssize_t, pwrite64, (int fd, const void *data, size_t n, off64_t at), fd, data, n, at)
ON_FILE(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
ON_FILE(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
ON_FILE(int, fsync, (int fd), fd)
ON_FILE(int, fdatasync, (int fd), fd)
ON_FILE(int, flock, (int fd, int how), fd, how)
ON_FILE(int, ftruncate, (int fd, off_t n), fd, n)
ON_FILE(int, ftruncate64, (int fd, off64_t n), fd, n)

int close(int fd) {
    int is_slow = opened(fd);
    if (is_slow) slow[fd] = 0;
    wait_if(is_slow);
    return REAL(close)(fd);
}

/* byte-range locks, which SQLite takes, go to the server like flock */
#define FCNTL(name) int name(int fd, int command, ...) { \
    va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); \
    wait_if((command == F_SETLK || command == F_SETLKW) && opened(fd)); \
    return REAL(name)(fd, command, argument); }
FCNTL(fcntl)
FCNTL(fcntl64)

#define BY_NAME(name, parameters, path, ...) int name parameters { \
    wait_if(named(path)); return REAL(name)(__VA_ARGS__); }
BY_NAME(unlink, (const char *path), path, path)
BY_NAME(rename, (const char *old, const char *new_name), old, old, new_name)
BY_NAME(renameat, (int a, const char *old, int b, const char *new_name), old, a, old, b, new_name)
BY_NAME(link, (const char *old, const char *new_name), old, old, new_name)
BY_NAME(mkdir, (const char *path, mode_t mode), path, path, mode)
