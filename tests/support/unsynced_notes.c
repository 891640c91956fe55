/* Notes of the preload layer: see unsynced_notes.h. */
#define _GNU_SOURCE
#include "tests/support/unsynced_notes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kChunk = 1 << 16 };

pthread_mutex_t entries_lock = PTHREAD_MUTEX_INITIALIZER;
static char journal_dir[PATH_MAX];
static int entries_fd = -1;
static uint64_t entries_end, entries_origin, saved_count;
static struct Tracked* all;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

void Die(const char* what) {
  dprintf(2, "unsynced_loss: %s: %s\n", what, strerror(errno));
  abort();
}

int RawOpen(const char* path, int flags, int mode) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

static void WriteAll(int fd, const void* data, size_t n, uint64_t at) {
  if (syscall(SYS_pwrite64, fd, data, n, at) != (long)n) Die("cannot write its notes");
}

int StartNotes(const char* journal) {
  char path[PATH_MAX];
  if (strlen(journal) + 64 > PATH_MAX) return 0;
  snprintf(journal_dir, sizeof journal_dir, "%s", journal);
  snprintf(path, sizeof path, "%.4000s/saved", journal);
  if (syscall(SYS_mkdirat, AT_FDCWD, path, 0700) != 0 && errno != EEXIST) Die(path);
  snprintf(path, sizeof path, "%.4000s/entries", journal);
  entries_fd = RawOpen(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (entries_fd < 0) Die(path);
  return 1;
}

static void NotesPath(const struct Tracked* t, const char* kind, char* out) {
  snprintf(out, PATH_MAX, "%.4000s/%llu-%llu.%s", journal_dir, (unsigned long long)t->device,
           (unsigned long long)t->inode, kind);
}

struct Tracked* FindTracked(dev_t device, ino_t inode, int is_directory) {
  pthread_mutex_lock(&all_lock);
  struct Tracked* t = all;
  while (t != NULL && (t->device != device || t->inode != inode)) t = t->next;
  if (t == NULL) {
    t = calloc(1, sizeof *t);
    if (t == NULL) Die("out of memory");
    t->device = device;
    t->inode = inode;
    t->journal = -1;
    char path[PATH_MAX];
    NotesPath(t, "lost", path);
    t->lost = RawOpen(path, O_RDWR, 0); /* of the process before */
    pthread_mutex_init(&t->lock, NULL);
    t->next = all;
    all = t;
  }
  t->is_directory = is_directory;
  pthread_mutex_unlock(&all_lock);
  return t;
}

/* --- contents --- */

/* All is confirmd: the file begins anew, the marks count on. */
static void Restart(struct Tracked* t) {
  struct UndoHeader header = {sizeof header, t->end, (uint64_t)getpid()};
  if (syscall(SYS_ftruncate, t->journal, (long)sizeof header) != 0) Die("ftruncate");
  WriteAll(t->journal, &header, sizeof header, 0);
  t->origin = t->base = t->end;
}

static uint64_t FilePosition(const struct Tracked* t, uint64_t mark) {
  return mark - t->origin + sizeof(struct UndoHeader);
}

static void OpenJournal(struct Tracked* t) {
  char path[PATH_MAX];
  NotesPath(t, "undo", path);
  t->journal = RawOpen(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (t->journal < 0) Die(path);
  Restart(t);
}

static void AppendRecord(struct Tracked* t, struct UndoRecord record, const char* bytes) {
  struct iovec parts[2] = {{&record, sizeof record},
                           {(void*)bytes, record.zeros ? 0 : record.length}};
  size_t n = parts[0].iov_len + parts[1].iov_len;
  if (syscall(SYS_pwritev, t->journal, parts, 2, FilePosition(t, t->end), 0) != (long)n)
    Die("cannot write its notes");
  t->end += n;
}

static void AppendLost(const struct Tracked* t, const void* data, size_t n) {
  struct stat st;
  if (fstat(t->lost, &st) != 0) Die("fstat");
  WriteAll(t->lost, data, n, (uint64_t)st.st_size);
}

static void NoteRewritten(const struct Tracked* t, struct RewrittenRecord record) {
  record.mark = t->end;
  record.process = (uint64_t)getpid();
  AppendLost(t, &record, sizeof record);
}

void Note(struct Tracked* t, int fd, uint64_t offset, uint64_t length) {
  static __thread char bytes[kChunk];
  struct stat st;
  if (fstat(fd, &st) != 0) Die("fstat");
  uint64_t size = (uint64_t)st.st_size;
  uint64_t stop = offset + length < size ? offset + length : size;
  if (t->journal < 0) OpenJournal(t);
  const int is_write = length < UINT64_MAX / 4;
  const uint64_t begin = offset > size ? offset : size;
  const uint64_t extends = is_write && offset + length > begin ? offset + length - begin : 0;
  struct UndoRecord record = {kUndoMagic, 1, size, offset, 0, extends};
  if (offset >= stop) AppendRecord(t, record, NULL);
  const struct RewrittenRecord rewritten = {kRewrittenMagic, 0, offset, length, 0, 0};
  char link[64];
  int reader = -1;
  while (offset < stop) {
    uint64_t n = stop - offset < kChunk ? stop - offset : kChunk;
    long got = syscall(SYS_pread64, reader < 0 ? fd : reader, bytes, n, offset);
    if (got < 0 && errno == EBADF && reader < 0) { /* opened for writing only */
      snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
      reader = RawOpen(link, O_RDONLY, 0);
      if (reader < 0) Die("cannot read what is about to change");
      continue;
    }
    if (got <= 0) Die("cannot read what is about to change");
    record.offset = offset;
    record.length = (uint64_t)got;
    record.extends = offset + (uint64_t)got == stop ? extends : 0;
    record.zeros = bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)got - 1) == 0;
    AppendRecord(t, record, bytes);
    offset += (uint64_t)got;
  }
  if (reader >= 0) syscall(SYS_close, reader);
  if (t->lost >= 0) NoteRewritten(t, rewritten);
}

void Drop(struct Tracked* t, uint64_t mark) {
  static char bytes[kChunk];
  pthread_mutex_lock(&t->lock);
  if (t->lost < 0) {
    char path[PATH_MAX];
    NotesPath(t, "lost", path);
    t->lost = RawOpen(path, O_RDWR | O_CREAT, 0600);
    if (t->lost < 0) Die(path);
  }
  for (uint64_t at = t->base; t->journal >= 0 && at < mark;) {
    const uint64_t n = mark - at < kChunk ? mark - at : kChunk;
    if (syscall(SYS_pread64, t->journal, bytes, n, FilePosition(t, at)) != (long)n)
      Die("cannot read its notes");
    AppendLost(t, bytes, n);
    at += n;
  }
  pthread_mutex_unlock(&t->lock);
  Confirm(t, mark);
}

/* Everything noted before `mark` is on the disk. */
static void ConfirmContents(struct Tracked* t, uint64_t mark) {
  pthread_mutex_lock(&t->lock);
  if (t->journal >= 0 && mark > t->base) {
    struct UndoHeader header = {FilePosition(t, mark), mark, (uint64_t)getpid()};
    t->base = mark;
    WriteAll(t->journal, &header, sizeof header, 0);
    if (t->base == t->end) Restart(t);
  }
  pthread_mutex_unlock(&t->lock);
}

void Renew(struct Tracked* t) {
  pthread_mutex_lock(&t->lock);
  if (t->journal >= 0) {
    char path[PATH_MAX];
    NotesPath(t, "undo", path);
    syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    syscall(SYS_close, t->journal);
    t->journal = -1;
    t->base = t->end;
  }
  if (t->lost >= 0) {
    char path[PATH_MAX];
    NotesPath(t, "lost", path);
    syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    syscall(SYS_close, t->lost);
    t->lost = -1;
  }
  pthread_mutex_unlock(&t->lock);
}

/* --- directory entries --- */

static void SavedPath(uint64_t n, char* out) {
  snprintf(out, PATH_MAX, "%.4000s/saved/%llu", journal_dir, (unsigned long long)n);
}

static void ParentOf(const char* path, struct EntryRecord* record) {
  char parent[PATH_MAX];
  struct stat st;
  snprintf(parent, sizeof parent, "%s", path);
  char* slash = strrchr(parent, '/');
  if (slash != NULL) *slash = 0;
  if (stat(parent[0] != 0 ? parent : "/", &st) != 0) Die(parent);
  record->device = (uint64_t)st.st_dev;
  record->inode = (uint64_t)st.st_ino;
}

uint64_t NoteEntry(enum EntryKind kind, const char* path, const char* from, int is_directory) {
  struct EntryRecord record;
  memset(&record, 0, sizeof record);
  record.live = 1;
  record.kind = (uint8_t)kind;
  record.is_directory = (uint8_t)is_directory;
  if (strlen(path) >= sizeof record.path || (from != NULL && strlen(from) >= sizeof record.from)) {
    errno = ENAMETOOLONG;
    Die(path);
  }
  strcpy(record.path, path);
  if (from != NULL) strcpy(record.from, from);
  ParentOf(path, &record);
  if (kind != kEntryCreated && !is_directory) {
    char saved[PATH_MAX];
    record.saved = saved_count++;
    SavedPath(record.saved, saved);
    record.has_saved = syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, saved, 0) == 0;
    if (!record.has_saved && errno != ENOENT)
      Die("cannot save what is about to go; is the journal on another disk?");
  }
  uint64_t at = entries_end;
  WriteAll(entries_fd, &record, sizeof record, at);
  entries_end += sizeof record;
  return at;
}

static void DropEntry(uint64_t at, const struct EntryRecord* record) {
  char saved[PATH_MAX];
  uint8_t dead = 0;
  WriteAll(entries_fd, &dead, 1, at);
  if (!record->has_saved) return;
  SavedPath(record->saved, saved);
  syscall(SYS_unlinkat, AT_FDCWD, saved, 0);
}

void TakeBack(uint64_t at) {
  struct EntryRecord record;
  if (syscall(SYS_pread64, entries_fd, &record, sizeof record, at) != sizeof record)
    Die("cannot read its notes");
  DropEntry(at, &record);
}

static void ConfirmEntries(const struct Tracked* directory, uint64_t mark) {
  pthread_mutex_lock(&entries_lock);
  int live = 0;
  for (uint64_t at = 0; at < entries_end; at += sizeof(struct EntryRecord)) {
    struct EntryRecord record;
    if (syscall(SYS_pread64, entries_fd, &record, sizeof record, at) != sizeof record)
      Die("cannot read its notes");
    if (!record.live) continue;
    if (entries_origin + at < mark && record.device == (uint64_t)directory->device &&
        record.inode == (uint64_t)directory->inode) {
      DropEntry(at, &record);
    } else {
      live = 1;
    }
  }
  if (!live && entries_end > 0) {
    if (syscall(SYS_ftruncate, entries_fd, 0L) != 0) Die("ftruncate");
    entries_origin += entries_end;
    entries_end = 0;
  }
  pthread_mutex_unlock(&entries_lock);
}

void InheritEntries(const struct stat* gone, const char* path) {
  struct EntryRecord heir, record;
  ParentOf(path, &heir);
  for (uint64_t at = 0; at < entries_end; at += sizeof record) {
    if (syscall(SYS_pread64, entries_fd, &record, sizeof record, at) != sizeof record)
      Die("cannot read its notes");
    if (record.device != (uint64_t)gone->st_dev || record.inode != (uint64_t)gone->st_ino) continue;
    record.device = heir.device;
    record.inode = heir.inode;
    WriteAll(entries_fd, &record, sizeof record, at);
  }
}

uint64_t Mark(struct Tracked* t) {
  pthread_mutex_t* lock = t->is_directory ? &entries_lock : &t->lock;
  pthread_mutex_lock(lock);
  uint64_t mark = t->is_directory ? entries_origin + entries_end : t->end;
  pthread_mutex_unlock(lock);
  return mark;
}

void Confirm(struct Tracked* t, uint64_t mark) {
  if (t->is_directory) {
    ConfirmEntries(t, mark);
  } else {
    ConfirmContents(t, mark);
  }
}
