/* A disk that fails when told to, for a process that is started with this in LD_PRELOAD.
 *
 * While the file that FAILING_DISK_READ_ONLY names exists, nothing can be written to or made in a
 * file system, as after a kernel has found errors in it; while FAILING_DISK_NO_SYNC exists, nothing
 * can be made durable. Sockets, pipes and the standard streams are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_set(const char *variable) {
    const char *path = getenv(variable);
    struct stat status;
    return path != NULL && stat(path, &status) == 0;
}

static int is_file(int descriptor) {
    struct stat status;
    return descriptor > STDERR_FILENO && fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

static int fails(int descriptor, const char *variable, int error) {
    if (!is_file(descriptor) || !is_set(variable))
        return 0;
    errno = error;
    return 1;
}

#define READ_ONLY(descriptor) fails(descriptor, "FAILING_DISK_READ_ONLY", EROFS)
#define NO_SYNC(descriptor) fails(descriptor, "FAILING_DISK_NO_SYNC", EIO)
#define NEXT(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t write(int fd, const void *data, size_t size) {
    return READ_ONLY(fd) ? -1 : NEXT("write", ssize_t(*)(int, const void *, size_t))(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    typedef ssize_t (*call)(int, const void *, size_t, off_t);
    return READ_ONLY(fd) ? -1 : NEXT("pwrite", call)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    typedef ssize_t (*call)(int, const void *, size_t, off64_t);
    return READ_ONLY(fd) ? -1 : NEXT("pwrite64", call)(fd, data, size, at);
}

int ftruncate(int fd, off_t size) {
    return READ_ONLY(fd) ? -1 : NEXT("ftruncate", int (*)(int, off_t))(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    return READ_ONLY(fd) ? -1 : NEXT("ftruncate64", int (*)(int, off64_t))(fd, size);
}

int fsync(int fd) {
    return NO_SYNC(fd) ? -1 : NEXT("fsync", int (*)(int))(fd);
}

int fdatasync(int fd) {
    return NO_SYNC(fd) ? -1 : NEXT("fdatasync", int (*)(int))(fd);
}

static int may_open(const char *path, int flags) {
    struct stat status;
    if ((flags & O_ACCMODE) == O_RDONLY || !is_set("FAILING_DISK_READ_ONLY"))
        return 1;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return 1;
    errno = EROFS;
    return 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        mode_t mode = 0;                                                                           \
        if (flags & O_CREAT) {                                                                     \
            va_list rest;                                                                          \
            va_start(rest, flags);                                                                 \
            mode = va_arg(rest, mode_t);                                                           \
            va_end(rest);                                                                          \
        }                                                                                          \
        if (!may_open(path, flags))                                                                      \
            return -1;                                                                             \
        return NEXT(#name, int (*)(const char *, int, mode_t))(path, flags, mode);                 \
    }

OPEN(open)
OPEN(open64)
