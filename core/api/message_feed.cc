#include "core/api/message_feed.h"

#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::api {
namespace {

// A slice over `bytes` that keeps their block alive.
grpc::Slice Refer(const Bytes& bytes) {
  auto* owner = new Bytes(bytes);
  return grpc::Slice(
      const_cast<char*>(owner->data()), owner->size(),
      [](void* user) { delete static_cast<Bytes*>(user); }, owner);
}

grpc::Slice Part(const grpc::Slice& slice, size_t position, size_t length) {
  return slice.sub(position, position + length);
}

}  // namespace

MessageFeed::MessageFeed(MessageComposer composer)
    : composer_(std::move(composer)), prefix_(composer_.prefix()) {}

void MessageFeed::Open(ChunkCursor cursor) {
  BASCULE_CHECK(next_ == waiting_.size());
  cursor_ = std::move(cursor);
  chunk_ = grpc::Slice();
  chunk_is_set_ = false;
}

void MessageFeed::Clear() {
  Open(ChunkCursor());
  block_ = grpc::Slice();
}

bool MessageFeed::Ready(size_t block_bytes) {
  if (next_ < waiting_.size()) return true;
  if (!status_.ok()) return false;
  Compose(block_bytes);
  return next_ < waiting_.size();
}

void MessageFeed::Compose(size_t block_bytes) {
  waiting_.clear();
  pieces_.clear();
  next_ = 0;
  size_t total = 0;
  std::string_view record;
  while (total < block_bytes && cursor_.Next(record)) {
    std::optional<RecordPiece> piece = composer_.Inspect(record);
    if (!piece) {
      status_ = absl::DataLossError(Concat("a batch read from offset ", cursor_.lowest().value(),
                                           " holds a record that cannot be read"));
      break;
    }
    const size_t bytes = record.size() < kCopyLimitBytes ? composer_.MessageBytes(*piece) : 0;
    waiting_.push_back({static_cast<uint32_t>(total), static_cast<uint32_t>(bytes)});
    pieces_.push_back(*piece);
    total += bytes;
    // A large one weighs too: one block never holds back a whole chunk of them.
    if (bytes == 0 && waiting_.size() >= 64) break;
  }
  if (status_.ok()) status_ = cursor_.status();
  if (total == 0) return;
  grpc_slice raw = grpc_slice_malloc_large(total);
  char* out = reinterpret_cast<char*>(GRPC_SLICE_START_PTR(raw));
  for (size_t i = 0; i < waiting_.size(); ++i) {
    if (waiting_[i].length != 0) out = composer_.Put(out, pieces_[i]);
  }
  block_ = grpc::Slice(raw, grpc::Slice::STEAL_REF);
}

void MessageFeed::Take(grpc::ByteBuffer& message) {
  BASCULE_CHECK(next_ < waiting_.size());
  const size_t number = next_++;
  const Waiting& waiting = waiting_[number];
  if (waiting.length == 0) return TakeLarge(pieces_[number], message);
  const grpc::Slice part = Part(block_, waiting.position, waiting.length);
  grpc::ByteBuffer made(&part, 1);
  message.Swap(&made);
}

void MessageFeed::TakeLarge(const RecordPiece& piece, grpc::ByteBuffer& message) {
  if (!chunk_is_set_) {
    chunk_ = Refer(cursor_.batches());
    chunk_is_set_ = true;
  }
  const size_t position = static_cast<size_t>(piece.record.data() - cursor_.batches().data());
  const grpc::Slice slices[3] = {prefix_, Part(chunk_, position, piece.record.size()),
                                 grpc::Slice(composer_.Suffix(piece))};
  grpc::ByteBuffer made(slices, piece.suffix_bytes == 0 ? 2 : 3);
  message.Swap(&made);
}

}  // namespace bascule::api
