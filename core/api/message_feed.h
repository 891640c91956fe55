// Turns the records of chunks into gRPC messages. Small records are composed many at a time into
// one slice, of which every message is a part (nothing is allocated per message for its payload); a
// large record is not copied: its message refers to the chunk's bytes, which live until gRPC has
// sent them. One thread at a time.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <vector>

#include "core/api/chunk_cursor.h"
#include "core/api/message_composer.h"
#include "core/base/bytes.h"

namespace bascule::api {

class MessageFeed {
 public:
  explicit MessageFeed(MessageComposer composer);

  // Goes on with another chunk; the one before must be exhausted.
  void Open(ChunkCursor cursor);
  // Lets go of the exhausted chunk: a subscriber that waits for messages holds no memory for them.
  void Clear();
  // Whether Take has a message. May compose: on a partition's shard (`block_bytes` small) as little
  // as needed.
  bool Ready(size_t block_bytes = kBlockBytes);
  // The next message; only after Ready said yes.
  void Take(grpc::ByteBuffer& message);
  // Why the chunk ended early, OK otherwise; only after Ready said no.
  const absl::Status& status() const { return status_; }
  // What is left of the chunk, roughly, in bytes of batches.
  size_t bytes_left() const { return cursor_.bytes_left(); }

  // Composed at a time.
  static constexpr size_t kBlockBytes = 64 * 1024;
  // Records from this size on are referred to, not copied.
  static constexpr size_t kCopyLimitBytes = 4 * 1024;

 private:
  // A message that waits to be taken: a part of `block_`, or (length 0) the piece of the same
  // number in `large_`.
  struct Waiting {
    uint32_t position;
    uint32_t length;
  };
  void Compose(size_t block_bytes);
  void TakeLarge(const RecordPiece& piece, grpc::ByteBuffer& message);

  const MessageComposer composer_;
  const grpc::Slice prefix_;
  ChunkCursor cursor_;
  grpc::Slice chunk_;  // the bytes of cursor_, made when the first large record is met
  bool chunk_is_set_ = false;
  absl::Status status_;

  grpc::Slice block_;
  std::vector<Waiting> waiting_;
  size_t next_ = 0;  // in waiting_
  std::vector<RecordPiece>
      pieces_;  // scratch of Compose, then the large ones by number of `waiting_`
};

}  // namespace bascule::api
