#include "core/wire/coding.h"

namespace bascule::wire::internal {
namespace {

constexpr size_t kMaxTagBytes = 5;
constexpr size_t kMaxSizeBytes = 5;
// libprotobuf refuses lengths this close to 2 GiB.
constexpr uint64_t kMaxSize = 0x7fffffff - 16;

bool TakeUpTo(std::string_view& in, size_t max_bytes, uint64_t& value) {
  value = 0;
  const size_t end = in.size() < max_bytes ? in.size() : max_bytes;
  for (size_t i = 0; i < end; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      in.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool TakeGroup(std::string_view& in, uint32_t number, int nesting, std::string_view& content) {
  if (nesting <= 0) return false;
  const std::string_view begin = in;
  Field inner;
  while (true) {
    std::string_view ahead = in;
    uint32_t tag;
    if (!TakeTag(ahead, tag)) return false;
    if ((tag & 7) == kEndGroup) {
      content = begin.substr(0, begin.size() - in.size());
      in = ahead;
      return tag >> 3 == number;
    }
    if (!TakeField(in, inner, nesting - 1)) return false;
  }
}

template <typename T>
bool TakeFixed(std::string_view& in, uint64_t& number) {
  if (in.size() < sizeof(T)) return false;
  number = GetFixed<T>(in.data());
  in.remove_prefix(sizeof(T));
  return true;
}

}  // namespace

bool TakeLongVarint(std::string_view& in, uint64_t& value) {
  return TakeUpTo(in, kMaxVarintBytes, value);
}

bool TakeLongTag(std::string_view& in, uint32_t& tag) {
  uint64_t value;
  if (!TakeUpTo(in, kMaxTagBytes, value)) return false;
  tag = static_cast<uint32_t>(value);
  return true;
}

bool TakeLongSize(std::string_view& in, size_t& size) {
  uint64_t value;
  if (!TakeUpTo(in, kMaxSizeBytes, value) || value > kMaxSize) return false;
  size = static_cast<size_t>(value);
  return true;
}

bool TakeRareField(std::string_view& in, Field& field, int nesting) {
  switch (field.type) {
    case kFixed64:
      return TakeFixed<uint64_t>(in, field.number);
    case kFixed32:
      return TakeFixed<uint32_t>(in, field.number);
    case kGroup:
      return TakeGroup(in, field.field, nesting, field.bytes);
    default:
      return false;
  }
}

}  // namespace bascule::wire::internal
