/* File calls that hang, for tests: preloaded, it holds every call named in HANG_CALL ("stat", "open" or
   "read") for the path HANG_PATH and what lies below it, as long as the file HANG_WHILE exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void hold(const char *call, const char *path) {
    const char *wanted = getenv("HANG_CALL"), *prefix = getenv("HANG_PATH"), *while_ = getenv("HANG_WHILE");
    if (!wanted || !prefix || !while_ || !path || strcmp(wanted, call)) return;
    size_t length = strlen(prefix);
    if (strncmp(path, prefix, length) || (path[length] && path[length] != '/')) return;
    while (syscall(SYS_faccessat, AT_FDCWD, while_, F_OK) == 0) usleep(20000);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

int stat(const char *path, struct stat *found) { hold("stat", path); REAL(stat); return real(path, found); }
int lstat(const char *path, struct stat *found) { hold("stat", path); REAL(lstat); return real(path, found); }
int stat64(const char *path, struct stat64 *found) { hold("stat", path); REAL(stat64); return real(path, found); }
int lstat64(const char *path, struct stat64 *found) { hold("stat", path); REAL(lstat64); return real(path, found); }
int fstatat(int at, const char *path, struct stat *found, int flags) {
    hold("stat", path); REAL(fstatat); return real(at, path, found, flags);
}
int fstatat64(int at, const char *path, struct stat64 *found, int flags) {
    hold("stat", path); REAL(fstatat64); return real(at, path, found, flags);
}

static mode_t mode_in(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; }
#define MODE va_list rest; va_start(rest, flags); mode_t mode = mode_in(flags, rest); va_end(rest)

int open(const char *path, int flags, ...) { MODE; hold("open", path); REAL(open); return real(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; hold("open", path); REAL(open64); return real(path, flags, mode); }
int openat(int at, const char *path, int flags, ...) {
    MODE; hold("open", path); REAL(openat); return real(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
    MODE; hold("open", path); REAL(openat64); return real(at, path, flags, mode);
}

ssize_t read(int file, void *into, size_t size) {
    if (getenv("HANG_CALL") && !strcmp(getenv("HANG_CALL"), "read")) {
        char link[64], path[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
        if (length > 0) { path[length] = 0; hold("read", path); }
    }
    REAL(read);
    return real(file, into, size);
}
