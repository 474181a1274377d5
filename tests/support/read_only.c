/* Makes what lies below $READ_ONLY_BELOW read-only for as long as the file $READ_ONLY_WHILE is there,
   as the system does with a disk that fails: files that are open already take nothing either. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int below(const char *path) {
    const char *root = getenv("READ_ONLY_BELOW"), *trigger = getenv("READ_ONLY_WHILE");
    if (!root || !trigger || syscall(SYS_faccessat, AT_FDCWD, trigger, F_OK)) return 0;
    return !strncmp(path, root, strlen(root));
}

static int below_at(int directory, const char *path) {
    char place[PATH_MAX], whole[2 * PATH_MAX];
    if (path[0] == '/') return below(path);
    if (directory == AT_FDCWD) {
        if (!getcwd(place, sizeof place)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t size = readlink(link, place, sizeof place - 1);
        if (size < 0) return 0;
        place[size] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", place, path);
    return below(whole);
}

static int below_open(int descriptor) {
    char link[64], place[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, place, sizeof place - 1);
    if (size < 0) return 0;
    place[size] = 0;
    return below(place);
}

#define REFUSE(when) if (when) { errno = EROFS; return -1; }
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define MODE(flags) mode_t mode = 0; if ((flags) & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) REFUSE(WRITES(flags) && below_at(AT_FDCWD, path)) REAL(open); return real(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) REFUSE(WRITES(flags) && below_at(AT_FDCWD, path)) REAL(open64); return real(path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) REFUSE(WRITES(flags) && below_at(at, path)) REAL(openat); return real(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) REFUSE(WRITES(flags) && below_at(at, path)) REAL(openat64); return real(at, path, flags, mode); }
ssize_t write(int to, const void *data, size_t size) { REFUSE(below_open(to)) REAL(write); return real(to, data, size); }
ssize_t pwrite(int to, const void *data, size_t size, off_t at) { REFUSE(below_open(to)) REAL(pwrite); return real(to, data, size, at); }
ssize_t pwrite64(int to, const void *data, size_t size, off64_t at) { REFUSE(below_open(to)) REAL(pwrite64); return real(to, data, size, at); }
ssize_t writev(int to, const struct iovec *data, int count) { REFUSE(below_open(to)) REAL(writev); return real(to, data, count); }
int ftruncate(int of, off_t size) { REFUSE(below_open(of)) REAL(ftruncate); return real(of, size); }
int ftruncate64(int of, off64_t size) { REFUSE(below_open(of)) REAL(ftruncate64); return real(of, size); }
int mkdir(const char *path, mode_t mode) { REFUSE(below_at(AT_FDCWD, path)) REAL(mkdir); return real(path, mode); }
int unlink(const char *path) { REFUSE(below_at(AT_FDCWD, path)) REAL(unlink); return real(path); }
int unlinkat(int at, const char *path, int flags) { REFUSE(below_at(at, path)) REAL(unlinkat); return real(at, path, flags); }
int rmdir(const char *path) { REFUSE(below_at(AT_FDCWD, path)) REAL(rmdir); return real(path); }
int rename(const char *from, const char *to) { REFUSE(below_at(AT_FDCWD, from) || below_at(AT_FDCWD, to)) REAL(rename); return real(from, to); }
int link(const char *from, const char *to) { REFUSE(below_at(AT_FDCWD, to)) REAL(link); return real(from, to); }
int linkat(int of, const char *from, int at, const char *to, int flags) { REFUSE(below_at(at, to)) REAL(linkat); return real(of, from, at, to, flags); }
