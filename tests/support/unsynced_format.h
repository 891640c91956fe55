/* What the preload layer (unsynced_loss.c) notes and the recovery (unsynced_recovery.cc) reads.
 * Both are of one build, so the structs are written as they lie in memory.
 *
 * <journal>/<device>-<inode>.undo, one per file with unsynced changes:
 *   UndoHeader, then UndoRecords, oldest first, each followed by its bytes. Records before `base`
 * are confirmd by a completed sync. A record is written before the change that it undoes; an
 * incomplete last one undoes nothing. <journal>/entries: EntryRecords, oldest first; those not
 * `live` are confirmd by a sync of their directory. <journal>/saved/<n>: a second link to what a
 * rename or an unlink took away.
 */
#pragma once

#include <stdint.h>

/* The folder whose unsynced changes are lost: absolute, without a slash at the end, and there
 * already. */
#define UNSYNCED_ROOT "UNSYNCED_LOSS_ROOT"
/* Where the notes go: an existing folder outside the root, on the same file system. */
#define UNSYNCED_JOURNAL "UNSYNCED_LOSS_JOURNAL"
/* Syncs of files and folders whose path below the root holds this text report success and do
 * nothing, as if the code had forgotten them. */
#define UNSYNCED_FORGET "UNSYNCED_LOSS_FORGET_SYNCS"

/* Once the file of the second name is there, the next sync of a file whose path below the root holds
 * the first text fails, and takes the second away. As the kernel does it: what that sync had is shown
 * on, never reaches the disk, and later syncs succeed without it, unless it is written again. */
#define UNSYNCED_FAIL "UNSYNCED_LOSS_FAIL_SYNCS"
#define UNSYNCED_FAIL_WHEN "UNSYNCED_LOSS_FAIL_WHEN"

enum { kUnsyncedPathBytes = 1024, kUndoMagic = 0x756e646f, kRewrittenMagic = 0x72777274 };

struct UndoHeader {
  uint64_t base;     /* position in this file of the oldest record that counts */
  uint64_t confirmd; /* mark up to which all is on the disk, but for what a failed sync dropped */
  uint64_t process;
};

struct UndoRecord {
  uint32_t magic;
  uint32_t zeros;  /* 1: the bytes were all zero and do not follow */
  uint64_t size;   /* of the file before the change */
  uint64_t offset; /* of the bytes that the change replaces */
  uint64_t length;
  uint64_t extends; /* bytes that the change adds behind the old end, or behind `offset` */
};

/* <journal>/<device>-<inode>.lost, of files whose sync has failed: the UndoRecords (with their bytes)
 * that it dropped, and what was changed after it, by a RewrittenRecord. */
struct RewrittenRecord {
  uint32_t magic;
  uint32_t unused;
  uint64_t offset;
  uint64_t length;
  uint64_t mark; /* counts once the process has confirmd this, or is another one by now */
  uint64_t process;
};

enum EntryKind { kEntryCreated = 1, kEntryRemoved = 2, kEntryRenamed = 3 };

struct EntryRecord {
  uint8_t live;
  uint8_t kind;
  uint8_t is_directory;
  uint8_t has_saved;      /* removed, or replaced by the rename */
  uint64_t device, inode; /* of the directory whose sync confirms it */
  uint64_t saved;         /* <journal>/saved/<saved> */
  char path[kUnsyncedPathBytes];
  char from[kUnsyncedPathBytes]; /* renamed only */
};
