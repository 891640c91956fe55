// gRPC's bytes and ours.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace bascule::peer {

inline grpc::ByteBuffer ToByteBuffer(std::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());  // copies
  return grpc::ByteBuffer(&slice, 1);
}

// Holds `pieces` where they lie, until gRPC has written them and let go.
inline grpc::ByteBuffer ToByteBuffer(std::vector<Bytes> pieces) {
  std::vector<grpc::Slice> slices;
  slices.reserve(pieces.size());
  for (Bytes& piece : pieces) {
    if (piece.empty()) continue;
    auto kept = std::make_unique<Bytes>(std::move(piece));
    char* const data = const_cast<char*>(kept->data());  // gRPC only reads it
    const size_t size = kept->size();
    slices.emplace_back(
        data, size, [](void* bytes) { delete static_cast<Bytes*>(bytes); }, kept.release());
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

// Views `buffer`'s bytes in `held`; empty when there are none.
inline std::string_view ViewOf(const grpc::ByteBuffer& buffer, grpc::Slice& held) {
  if (!buffer.Valid() || !buffer.DumpToSingleSlice(&held).ok()) return {};
  return {reinterpret_cast<const char*>(held.begin()), held.size()};
}

// Keeps the slice; a short one lies within its handle, so the view is of the handle that is kept.
inline Bytes ToBytes(grpc::Slice slice) {
  auto kept = std::make_shared<const grpc::Slice>(std::move(slice));
  const std::string_view view(reinterpret_cast<const char*>(kept->begin()), kept->size());
  return Bytes(std::move(kept), view);
}

}  // namespace bascule::peer
