// Bytes and integers: little-endian fixed-width numbers of our own formats, and protobuf's varints and tags. Readers
// never look past the end of what they were given.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace bascule::wire {

// --- fixed width, little-endian ---
template <typename T>
void PutFixed(char* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
}
template <typename T>
void AppendFixed(std::string& out, T value) {
  char bytes[sizeof(T)];
  PutFixed(bytes, value);
  out.append(bytes, sizeof(T));
}
template <typename T>
T GetFixed(const char* in) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  return static_cast<T>(value);
}

// --- protobuf ---
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };
constexpr uint32_t Tag(uint32_t field, WireType type) { return (field << 3) | type; }

inline constexpr size_t kMaxVarintBytes = 10;

constexpr size_t VarintSize(uint64_t value) {
  size_t n = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++n;
  }
  return n;
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
// Removes a varint from the front of `in`; false (and `in` unspecified) when it is torn or longer than ten bytes.
inline bool TakeVarint(std::string_view& in, uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < in.size() && i < kMaxVarintBytes; ++i) {
    const auto byte = static_cast<unsigned char>(in[i]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (i == 9 && byte > 1) return false;  // more than 64 bits
      in.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

// One field of an encoded message. For kVarint/kFixed*: `number`; for kLengthDelimited: `bytes`.
struct Field {
  uint32_t field = 0;
  WireType type = kVarint;
  uint64_t number = 0;
  std::string_view bytes;
};
// Removes the next field from the front of `in`; false when it is malformed (also groups and field 0).
bool TakeField(std::string_view& in, Field& field);

// Whether `text` is valid UTF-8 as protobuf demands it of strings.
bool IsValidUtf8(std::string_view text);
// `text` with every byte that is not part of a valid UTF-8 sequence written as %XX.
std::string EscapeInvalidUtf8(std::string_view text);

}  // namespace bascule::wire
