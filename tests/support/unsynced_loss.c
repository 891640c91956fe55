/* LD_PRELOAD layer for tests: makes SIGKILL behave like power loss for the files of one folder. A
 * kill leaves the page cache alone, so a test of a killed process says nothing about missing syncs.
 * This layer notes, before each change of a file or a directory below UNSYNCED_LOSS_ROOT, what
 * undoes it, and forgets the note when a sync of that file or directory has completed.
 * RecoverUnsynced() (unsynced_recovery.h) then undoes what is left, newest first: the folder looks
 * as if the machine had lost power at the kill and the disk had kept nothing that was not synced.
 *
 *   thread A                    notes   thread B
 *   pwrite: lock, note, write   n1      fdatasync: mark = end of n1
 *   pwrite: lock, note, write   n1 n2     the real sync runs
 *                               n2        confirm(mark): n1 is on the disk, n2 is not
 *
 * Calls go straight to the kernel. Any thread may call; one process per journal. Not seen, and
 * therefore treated as durable at once: what stdio and io_uring write, duplicated descriptors.
 * Shared writable maps of a file end the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/support/unsynced_notes.h"

enum { kMaxDescriptors = 65536 };

static char root[PATH_MAX];
static const char* forget;
static const char* fail;
static const char* fail_when;
static _Atomic(struct Tracked*) descriptors[kMaxDescriptors];

__attribute__((constructor)) static void Start(void) {
  const char* asked = getenv(UNSYNCED_ROOT);
  const char* journal = getenv(UNSYNCED_JOURNAL);
  if (asked == NULL || journal == NULL || strlen(asked) >= sizeof root || !StartNotes(journal))
    return;
  forget = getenv(UNSYNCED_FORGET);
  fail = getenv(UNSYNCED_FAIL);
  fail_when = getenv(UNSYNCED_FAIL_WHEN);
  snprintf(root, sizeof root, "%s", asked); /* last: switches the layer on */
}

/* The absolute form of `path`, or NULL when it does not lie in the root. */
static const char* Inside(int dirfd, const char* path, char* out) {
  if (root[0] == 0 || path == NULL) return NULL;
  if (path[0] == '/') {
    snprintf(out, PATH_MAX, "%s", path);
  } else {
    char link[64], base[PATH_MAX];
    snprintf(link, sizeof link, dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
    ssize_t n = readlink(link, base, sizeof base - 1);
    if (n < 0) return NULL;
    base[n] = 0;
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
  }
  size_t n = strlen(root);
  return strncmp(out, root, n) == 0 && (out[n] == '/' || out[n] == 0) ? out : NULL;
}

/* Without one the call itself fails and says why. */
static int HasParent(const char* path) {
  char parent[PATH_MAX];
  struct stat st;
  snprintf(parent, sizeof parent, "%s", path);
  *strrchr(parent, '/') = 0;
  return stat(parent[0] != 0 ? parent : "/", &st) == 0;
}

static struct Tracked* Get(int fd) {
  return fd >= 0 && fd < kMaxDescriptors ? atomic_load(&descriptors[fd]) : NULL;
}

/* --- the calls --- */

static int OpenTracked(int dirfd, const char* path, int flags, int mode) {
  char full[PATH_MAX];
  if (Inside(dirfd, path, full) == NULL) return (int)syscall(SYS_openat, dirfd, path, flags, mode);
  struct stat st;
  pthread_mutex_lock(&entries_lock);
  int absent = (flags & O_CREAT) != 0 && lstat(full, &st) != 0 && HasParent(full);
  uint64_t noted = absent ? NoteEntry(kEntryCreated, full, NULL, 0) : 0;
  /* Emptied below, once it is known which file it is. */
  int fd = (int)syscall(SYS_openat, dirfd, path, absent ? flags : flags & ~O_TRUNC, mode);
  int error = errno;
  if (absent && fd < 0) TakeBack(noted);
  pthread_mutex_unlock(&entries_lock);
  errno = error;
  if (fd < 0 || fd >= kMaxDescriptors || fstat(fd, &st) != 0) return fd;
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return fd;
  struct Tracked* t = FindTracked(st.st_dev, st.st_ino, S_ISDIR(st.st_mode));
  t->fails = !t->is_directory && fail != NULL && fail_when != NULL && fail[0] != 0 &&
             strstr(full + strlen(root), fail) != NULL;
  t->forget = forget != NULL && forget[0] != 0 && strstr(full + strlen(root), forget) != NULL;
  if ((flags & O_DSYNC) != 0) Die("O_DSYNC is not understood");
  if (absent) Renew(t);
  if (!absent && (flags & O_TRUNC) != 0 && S_ISREG(st.st_mode)) {
    pthread_mutex_lock(&t->lock);
    Note(t, fd, 0, UINT64_MAX / 2);
    if (syscall(SYS_ftruncate, fd, 0L) != 0) Die("ftruncate");
    pthread_mutex_unlock(&t->lock);
  }
  atomic_store(&descriptors[fd], t);
  return fd;
}

#define MODE_OF(flags, last)                        \
  __extension__({                                   \
    int mode_value = 0;                             \
    if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) { \
      va_list args;                                 \
      va_start(args, last);                         \
      mode_value = va_arg(args, int);               \
      va_end(args);                                 \
    }                                               \
    mode_value;                                     \
  })

int open(const char* path, int flags, ...) {
  return OpenTracked(AT_FDCWD, path, flags, MODE_OF(flags, flags));
}
int open64(const char* path, int flags, ...) {
  return OpenTracked(AT_FDCWD, path, flags, MODE_OF(flags, flags));
}
int openat(int dir, const char* path, int flags, ...) {
  return OpenTracked(dir, path, flags, MODE_OF(flags, flags));
}
int openat64(int dir, const char* path, int flags, ...) {
  return OpenTracked(dir, path, flags, MODE_OF(flags, flags));
}
int creat(const char* path, mode_t mode) {
  return OpenTracked(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, (int)mode);
}

int close(int fd) {
  if (fd >= 0 && fd < kMaxDescriptors) atomic_store(&descriptors[fd], NULL);
  return (int)syscall(SYS_close, fd);
}

static uint64_t BytesOf(const struct iovec* parts, int count) {
  uint64_t n = 0;
  for (int i = 0; i < count; ++i) n += parts[i].iov_len;
  return n;
}

/* `offset` -1: at the descriptor's own position. */
static ssize_t WriteTracked(int fd, const struct iovec* parts, int count, off_t offset, int flags) {
  struct Tracked* t = Get(fd);
  if (t != NULL) {
    off_t at = offset;
    pthread_mutex_lock(&t->lock);
    struct stat st;
    long status = syscall(SYS_fcntl, fd, F_GETFL);
    if (status >= 0 && (status & O_APPEND) != 0 && fstat(fd, &st) == 0) at = st.st_size;
    if (at < 0) at = syscall(SYS_lseek, fd, 0L, SEEK_CUR);
    Note(t, fd, (uint64_t)at, BytesOf(parts, count));
  }
  ssize_t n = offset < 0 && flags == 0 ? syscall(SYS_writev, fd, parts, count)
                                       : syscall(SYS_pwritev2, fd, parts, count, offset, 0L, flags);
  if (t != NULL) {
    int error = errno;
    pthread_mutex_unlock(&t->lock);
    errno = error;
  }
  return n;
}

ssize_t write(int fd, const void* data, size_t n) {
  if (Get(fd) == NULL) return syscall(SYS_write, fd, data, n);
  struct iovec part = {(void*)data, n};
  return WriteTracked(fd, &part, 1, -1, 0);
}
ssize_t pwrite(int fd, const void* data, size_t n, off_t at) {
  if (Get(fd) == NULL) return syscall(SYS_pwrite64, fd, data, n, at);
  struct iovec part = {(void*)data, n};
  return WriteTracked(fd, &part, 1, at, 0);
}
ssize_t pwrite64(int fd, const void* data, size_t n, off64_t at) { return pwrite(fd, data, n, at); }
ssize_t writev(int fd, const struct iovec* parts, int n) {
  return WriteTracked(fd, parts, n, -1, 0);
}
ssize_t pwritev(int fd, const struct iovec* parts, int n, off_t at) {
  return WriteTracked(fd, parts, n, at, 0);
}
ssize_t pwritev64(int fd, const struct iovec* parts, int n, off64_t at) {
  return WriteTracked(fd, parts, n, at, 0);
}
ssize_t pwritev2(int fd, const struct iovec* parts, int n, off_t at, int flags) {
  return WriteTracked(fd, parts, n, at, flags);
}
ssize_t pwritev64v2(int fd, const struct iovec* parts, int n, off64_t at, int flags) {
  return WriteTracked(fd, parts, n, at, flags);
}

int ftruncate(int fd, off_t size) {
  struct Tracked* t = Get(fd);
  if (t == NULL) return (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&t->lock);
  Note(t, fd, (uint64_t)size, UINT64_MAX / 2);
  int result = (int)syscall(SYS_ftruncate, fd, size);
  int error = errno;
  pthread_mutex_unlock(&t->lock);
  errno = error;
  return result;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char* path, off_t size) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = ftruncate(fd, size);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}
int truncate64(const char* path, off64_t size) { return truncate(path, size); }

int fallocate(int fd, int mode, off_t at, off_t n) {
  struct Tracked* t = Get(fd);
  if (t == NULL) return (int)syscall(SYS_fallocate, fd, mode, at, n);
  pthread_mutex_lock(&t->lock);
  Note(t, fd, (uint64_t)at, (mode & ~FALLOC_FL_KEEP_SIZE) == 0 ? 0 : UINT64_MAX / 2);
  int result = (int)syscall(SYS_fallocate, fd, mode, at, n);
  int error = errno;
  pthread_mutex_unlock(&t->lock);
  errno = error;
  return result;
}
int fallocate64(int fd, int mode, off64_t at, off64_t n) { return fallocate(fd, mode, at, n); }
int posix_fallocate(int fd, off_t at, off_t n) { return fallocate(fd, 0, at, n) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off64_t at, off64_t n) { return posix_fallocate(fd, at, n); }

static int SyncTracked(int fd, long call) {
  struct Tracked* t = Get(fd);
  if (t == NULL) return (int)syscall(call, fd);
  if (t->forget) return 0;
  uint64_t mark = Mark(t);
  if (t->fails && syscall(SYS_unlinkat, AT_FDCWD, fail_when, 0) == 0) {
    Drop(t, mark);
    errno = EIO;
    return -1;
  }
  int result = (int)syscall(call, fd);
  if (result == 0) Confirm(t, mark);
  return result;
}
int fsync(int fd) { return SyncTracked(fd, SYS_fsync); }
int fdatasync(int fd) { return SyncTracked(fd, SYS_fdatasync); }

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  if ((flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 && Get(fd) != NULL) {
    errno = ENOTSUP;
    Die("a shared writable map of a watched file: its writes cannot be seen");
  }
  return (void*)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}
void* mmap64(void* address, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(address, length, protection, flags, fd, offset);
}

/* One change of the directory between its note and, on failure, taking the note back. */
#define CHANGE_ENTRY(note, call)         \
  __extension__({                        \
    pthread_mutex_lock(&entries_lock);   \
    uint64_t noted = (note);             \
    int result = (int)(call);            \
    int error = errno;                   \
    if (result != 0) TakeBack(noted);    \
    pthread_mutex_unlock(&entries_lock); \
    errno = error;                       \
    result;                              \
  })

int renameat(int from_dir, const char* from, int to_dir, const char* to) {
  char a[PATH_MAX], b[PATH_MAX];
  struct stat st;
  if (Inside(from_dir, from, a) == NULL || Inside(to_dir, to, b) == NULL || lstat(a, &st) != 0) {
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
  }
  return CHANGE_ENTRY(NoteEntry(kEntryRenamed, b, a, S_ISDIR(st.st_mode)),
                      syscall(SYS_renameat2, from_dir, from, to_dir, to, 0));
}
int rename(const char* from, const char* to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

static int Removed(const char* path, const struct stat* gone, int result) {
  if (result == 0 && S_ISDIR(gone->st_mode)) InheritEntries(gone, path);
  return result;
}

int unlinkat(int dir, const char* path, int flags) {
  char full[PATH_MAX];
  struct stat st;
  if (Inside(dir, path, full) == NULL || lstat(full, &st) != 0)
    return (int)syscall(SYS_unlinkat, dir, path, flags);
  return CHANGE_ENTRY(NoteEntry(kEntryRemoved, full, NULL, S_ISDIR(st.st_mode)),
                      Removed(full, &st, (int)syscall(SYS_unlinkat, dir, path, flags)));
}
int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) {
  struct stat st;
  return unlinkat(AT_FDCWD, path, lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

int mkdirat(int dir, const char* path, mode_t mode) {
  char full[PATH_MAX];
  struct stat st;
  if (Inside(dir, path, full) == NULL || lstat(full, &st) == 0 || !HasParent(full))
    return (int)syscall(SYS_mkdirat, dir, path, mode);
  return CHANGE_ENTRY(NoteEntry(kEntryCreated, full, NULL, 1),
                      syscall(SYS_mkdirat, dir, path, mode));
}
int mkdir(const char* path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
