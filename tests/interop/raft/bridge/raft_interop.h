/* raft::Raft behind a C interface, for a program that is not C++ (tests/interop/raft). What is said
 * in bytes is a message of raft_interop.proto. One thread. Test only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct RaftInteropNode RaftInteropNode;

/* Of the node (errors of restore: of the library); until the next call. */
typedef struct {
  const char* data;
  size_t size;
} RaftInteropBytes;

typedef struct {
  uint64_t leader; /* 0 = unknown */
  uint64_t term;
  uint64_t commit;
  uint64_t applied;
  uint64_t last;
  int role; /* raft::Role */
  int has_ready;
} RaftInteropStatus;

/* An int is an absl::StatusCode (0 = OK), or RAFT_INTEROP_BROKEN: an assertion of the core failed,
 * the node is to be destroyed. error() says why. */
#define RAFT_INTEROP_BROKEN (-1)

typedef struct {
  /* NULL: *error says why. */
  RaftInteropNode* (*restore)(const void* start, size_t size, RaftInteropBytes* error);
  void (*destroy)(RaftInteropNode* node);
  RaftInteropBytes (*error)(RaftInteropNode* node);
  int (*tick)(RaftInteropNode* node);
  int (*step)(RaftInteropNode* node, const void* message, size_t size);
  int (*take_ready)(RaftInteropNode* node, RaftInteropBytes* ready);
  int (*advance)(RaftInteropNode* node);
  int (*propose)(RaftInteropNode* node, const void* data, size_t size);
  /* Of a raftpb.ConfChange. */
  int (*propose_conf_change)(RaftInteropNode* node, const void* change, size_t size);
  int (*read_index)(RaftInteropNode* node, const void* context, size_t size);
  int (*transfer)(RaftInteropNode* node, uint64_t to);
  int (*campaign)(RaftInteropNode* node);
  /* Of a SnapshotMetadata. */
  int (*compact)(RaftInteropNode* node, uint64_t through, const void* snapshot, size_t size);
  int (*report_unreachable)(RaftInteropNode* node, uint64_t id);
  int (*report_snapshot)(RaftInteropNode* node, uint64_t id, int arrived);
  void (*status)(RaftInteropNode* node, RaftInteropStatus* status);
  /* A ConfState. */
  void (*configuration)(RaftInteropNode* node, RaftInteropBytes* configuration);
} RaftInteropApi;

/* The only symbol that a program looks up. */
__attribute__((visibility("default"))) const RaftInteropApi* raft_interop_api(void);

#ifdef __cplusplus
}
#endif
