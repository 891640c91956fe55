/* Inside of the preload layer: what it knows of each watched file and directory, and the notes that
 * undo their unsynced changes. Any thread. The folder names and formats are in unsynced_format.h. A
 * failure to write a note ends the process: a test must not go on with half of the truth.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "tests/support/unsynced_format.h"

struct Tracked {
  dev_t device;
  ino_t inode;
  int is_directory;
  int forget;  /* its syncs are forgotten (UNSYNCED_FORGET) */
  int fails;   /* its syncs may fail (UNSYNCED_FAIL) */
  int lost;    /* descriptor of the .lost file, -1 while there is none */
  int journal; /* descriptor of the .undo file, -1 while there is none */
  /* Marks, which never go back: of the newest note's end, the oldest that counts, the file's begin.
   */
  uint64_t end, base, origin;
  pthread_mutex_t lock;
  struct Tracked* next;
};

_Noreturn void Die(const char* what);
/* openat without the layer. */
int RawOpen(const char* path, int flags, int mode);
/* Once, before any other: false when the environment does not ask for the layer. */
int StartNotes(const char* journal);

/* The one record of this inode. */
struct Tracked* FindTracked(dev_t device, ino_t inode, int is_directory);
/* A new file has got the inode number of one that is gone. */
void Renew(struct Tracked* t);

/* Notes what undoes a change of [offset, offset + length) and of the size. With t->lock held, until
 * the change is done. */
void Note(struct Tracked* t, int fd, uint64_t offset, uint64_t length);
/* Where the notes of `t` end now: what to confirm when a sync that begins now has completed. */
uint64_t Mark(struct Tracked* t);
void Confirm(struct Tracked* t, uint64_t mark);
/* A sync of the file fails: what it had is dropped for good. */
void Drop(struct Tracked* t, uint64_t mark);

/* Held around a change of an entry and its note. */
extern pthread_mutex_t entries_lock;
/* Notes that `path` is about to be made, removed, or to be what `from` was. Returns the note's
 * place. */
uint64_t NoteEntry(enum EntryKind kind, const char* path, const char* from, int is_directory);
/* The change did not happen. */
void TakeBack(uint64_t place);
/* The directory `path` has been removed, and its inode may serve another: a sync of its parent
 * confirms its notes. With entries_lock held. */
void InheritEntries(const struct stat* gone, const char* path);
