// Bytes and integers: little-endian fixed-width numbers of our own formats, and protobuf's varints,
// tags and fields. Readers never look past the end of what they were given, and take and refuse
// exactly what libprotobuf does. Functions of their arguments only: any thread.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base/utf8.h"

namespace bascule::wire {

// --- fixed width, little-endian ---
template <typename T>
void PutFixed(char* out, T value) {
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(out, &value, sizeof(T));
  } else {
    for (size_t i = 0; i < sizeof(T); ++i) {
      out[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
    }
  }
}
template <typename T>
void AppendFixed(std::string& out, T value) {
  char bytes[sizeof(T)];
  PutFixed(bytes, value);
  out.append(bytes, sizeof(T));
}
template <typename T>
T GetFixed(const char* in) {
  if constexpr (std::endian::native == std::endian::little) {
    T value;
    std::memcpy(&value, in, sizeof(T));
    return value;
  } else {
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
    }
    return static_cast<T>(value);
  }
}

// --- protobuf ---
enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kGroup = 3,  // proto2's deprecated groups: skipped as libprotobuf skips unknown ones
  kEndGroup = 4,
  kFixed32 = 5
};
constexpr uint32_t Tag(uint32_t field, WireType type) { return (field << 3) | type; }

inline constexpr size_t kMaxVarintBytes = 10;
// Messages and groups may be nested this deep, as in libprotobuf.
inline constexpr int kMaxNesting = 100;

constexpr size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) * 9 + 64) /
         64;  // ceil(bits / 7), for 1..64 bits
}
// Writes at most kMaxVarintBytes; returns the byte after the last.
inline char* PutVarint(char* out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}
inline void AppendVarint(std::string& out, uint64_t value) {
  char bytes[kMaxVarintBytes];
  out.append(bytes, static_cast<size_t>(PutVarint(bytes, value) - bytes));
}
inline void AppendVarintField(std::string& out, uint32_t field, uint64_t value) {
  AppendVarint(out, Tag(field, kVarint));
  AppendVarint(out, value);
}
inline void AppendBytesField(std::string& out, uint32_t field, std::string_view value) {
  AppendVarint(out, Tag(field, kLengthDelimited));
  AppendVarint(out, value.size());
  out.append(value);
}

namespace internal {
bool TakeLongVarint(std::string_view& in, uint64_t& value);
bool TakeLongTag(std::string_view& in, uint32_t& tag);
bool TakeLongSize(std::string_view& in, size_t& size);
inline bool TakeByteBelow0x80(std::string_view& in, unsigned char& byte) {
  if (in.empty()) return false;
  byte = static_cast<unsigned char>(in.front());
  if (byte >= 0x80) return false;
  in.remove_prefix(1);
  return true;
}
}  // namespace internal

// The Take functions remove something from the front of `in`; false (and `in` unspecified) where
// that is malformed or torn.

// At most ten bytes; what does not fit 64 bits is dropped.
inline bool TakeVarint(std::string_view& in, uint64_t& value) {
  unsigned char byte;
  if (!internal::TakeByteBelow0x80(in, byte)) return internal::TakeLongVarint(in, value);
  value = byte;
  return true;
}
// At most five bytes; what does not fit 32 bits is dropped.
inline bool TakeTag(std::string_view& in, uint32_t& tag) {
  unsigned char byte;
  if (!internal::TakeByteBelow0x80(in, byte)) return internal::TakeLongTag(in, tag);
  tag = byte;
  return true;
}
// A length of at most five bytes and below 2 GiB, and that many bytes.
inline bool TakeBytes(std::string_view& in, std::string_view& bytes) {
  unsigned char byte;
  size_t size;
  if (internal::TakeByteBelow0x80(in, byte)) {
    size = byte;
  } else if (!internal::TakeLongSize(in, size)) {
    return false;
  }
  if (size > in.size()) return false;
  bytes = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

// One field of an encoded message. For kVarint/kFixed*: `number`; for kLengthDelimited and kGroup
// (without its end tag): `bytes`. A reader compares field and type: a known field of another type
// counts as unknown.
struct Field {
  uint32_t field = 0;
  WireType type = kVarint;
  uint64_t number = 0;
  std::string_view bytes;
};

namespace internal {
bool TakeRareField(std::string_view& in, Field& field, int nesting);
}
// False also for field 0, unknown wire types, and groups without their end or nested deeper than
// `nesting`.
inline bool TakeField(std::string_view& in, Field& field, int nesting = kMaxNesting) {
  uint32_t tag;
  if (!TakeTag(in, tag)) return false;
  field.field = tag >> 3;
  field.type = static_cast<WireType>(tag & 7);
  if (field.field == 0) return false;
  if (field.type == kLengthDelimited) return TakeBytes(in, field.bytes);
  if (field.type == kVarint) return TakeVarint(in, field.number);
  return internal::TakeRareField(in, field, nesting);
}

using bascule::EscapeInvalidUtf8;
using bascule::IsValidUtf8;

}  // namespace bascule::wire
