// gRPC's bytes and ours.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <string_view>

namespace bascule::peer {

inline grpc::ByteBuffer ToByteBuffer(std::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());  // copies
  return grpc::ByteBuffer(&slice, 1);
}

// Views `buffer`'s bytes in `held`; empty when there are none.
inline std::string_view ViewOf(const grpc::ByteBuffer& buffer, grpc::Slice& held) {
  if (!buffer.Valid() || !buffer.DumpToSingleSlice(&held).ok()) return {};
  return {reinterpret_cast<const char*>(held.begin()), held.size()};
}

}  // namespace bascule::peer
