#include "nats_bridge/bus_message.h"

#include <algorithm>
#include <cstdint>

#include "core/wire/coding.h"

namespace bascule::nats {
namespace {

// Each looks at the eight bytes of a word, and sets the highest bit of those that it finds.
constexpr uint64_t kEach = 0x0101010101010101;
constexpr uint64_t kLow = 0x7f * kEach;
constexpr uint64_t Equal(uint64_t word, uint8_t byte) {
  const uint64_t other = word ^ byte * kEach;
  return ~(((other & kLow) + kLow) | other | kLow);
}
constexpr uint64_t UpTo(uint64_t word, uint8_t byte) {  // `byte` below 0x80
  return ~(((word & kLow) + (0x7f - byte) * kEach) | word | kLow);
}

}  // namespace

// Asked twice for each message that is to be acked, so by words: a dot is an error where one was before
// it, and so is it in front.
bool IsPublishableSubject(std::string_view subject) {
  uint64_t before = 0x80;  // of the first byte: as behind a dot
  for (size_t at = 0; at < subject.size(); at += 8) {
    char bytes[] = "xxxxxxxx";  // what pads the last word is nothing to complain of
    subject.copy(bytes, 8, at);
    const auto word = wire::GetFixed<uint64_t>(bytes);
    const uint64_t dots = Equal(word, '.');
    if ((UpTo(word, ' ') | Equal(word, 0x7f) | (dots & (dots << 8 | before))) != 0) return false;
    before = dots >> 56;
  }
  return !subject.empty() && subject.back() != '.';
}

}  // namespace bascule::nats
