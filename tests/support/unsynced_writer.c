/* Changes files as its arguments say, one word or several each, and then kills itself: the tiny
 * program that tests/integration/unsynced_loss_test.cc runs under the preload layer.
 *
 *   write FILE OFFSET TEXT | truncate FILE SIZE | sync PATH | sync? PATH (fails) | rename FROM TO | unlink FILE | mkdir
 * DIR | rmdir DIR | empty FILE | race FILE    (race: many threads write, one syncs and prints, one
 * a line, how far all is synced)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kThreads = 4, kBlocks = 3000, kBlock = 64 };

static _Atomic int written[kThreads];
static int race_fd;

static void Die(const char* what) {
  perror(what);
  exit(1);
}

static int Open(const char* path, int flags) {
  int fd = open(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) Die(path);
  return fd;
}

/* Thread `n` owns every kThreads-th block and fills them in order with its letter. */
static void* WriteBlocks(void* arg) {
  int n = *(int*)arg;
  char block[kBlock];
  memset(block, 'a' + n, sizeof block);
  for (int i = 0; i < kBlocks; ++i) {
    off_t at = ((off_t)i * kThreads + n) * kBlock;
    if (pwrite(race_fd, block, sizeof block, at) != (ssize_t)sizeof block) Die("pwrite");
    atomic_store(&written[n], i + 1);
  }
  return NULL;
}

static void Race(const char* path) {
  static int numbers[kThreads];
  pthread_t threads[kThreads];
  race_fd = Open(path, O_RDWR | O_CREAT);
  for (int n = 0; n < kThreads; ++n) {
    numbers[n] = n;
    if (pthread_create(&threads[n], NULL, WriteBlocks, &numbers[n]) != 0) Die("pthread_create");
  }
  int least = 0;
  while (least < kBlocks / 2) {
    least = kBlocks;
    for (int n = 0; n < kThreads; ++n) {
      int now = atomic_load(&written[n]);
      if (now < least) least = now;
    }
    if (fdatasync(race_fd) != 0) Die("fdatasync");
    printf("%d\n", least);
    fflush(stdout);
  }
  kill(getpid(), SIGKILL);
}

static void Close(int fd, int failed, const char* what) {
  if (failed) Die(what);
  close(fd);
}

/* Returns how many words it took. */
static int Do(char** word) {
  if (strcmp(word[0], "write") == 0) {
    int fd = Open(word[1], O_RDWR | O_CREAT);
    ssize_t n = (ssize_t)strlen(word[3]);
    Close(fd, pwrite(fd, word[3], (size_t)n, atol(word[2])) != n, "pwrite");
    return 4;
  }
  if (strcmp(word[0], "truncate") == 0) {
    int fd = Open(word[1], O_RDWR);
    Close(fd, ftruncate(fd, atol(word[2])) != 0, "ftruncate");
    return 3;
  }
  if (strcmp(word[0], "empty") == 0) {
    Close(Open(word[1], O_WRONLY | O_CREAT | O_TRUNC), 0, "open");
    return 2;
  }
  if (strcmp(word[0], "sync") == 0) {
    int fd = Open(word[1], O_RDONLY);
    Close(fd, fsync(fd) != 0, "fsync");
    return 2;
  }
  if (strcmp(word[0], "sync?") == 0) {
    int fd = Open(word[1], O_RDONLY);
    Close(fd, fsync(fd) == 0, "a sync that was to fail");
    return 2;
  }
  if (strcmp(word[0], "rename") == 0) {
    if (rename(word[1], word[2]) != 0) Die("rename");
    return 3;
  }
  if (strcmp(word[0], "unlink") == 0 && unlink(word[1]) != 0) Die("unlink");
  if (strcmp(word[0], "mkdir") == 0 && mkdir(word[1], 0700) != 0) Die("mkdir");
  if (strcmp(word[0], "rmdir") == 0 && rmdir(word[1]) != 0) Die("rmdir");
  if (strcmp(word[0], "race") == 0) Race(word[1]);
  return 2;
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc;) i += Do(argv + i);
  kill(getpid(), SIGKILL);
}
