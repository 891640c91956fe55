// Encoded messages to hold the hand-written decoders to libprotobuf with: mostly well-formed, with
// everything a peer could send that is not quite so. From a fixed seed always the same.
#pragma once

#include <google/protobuf/stubs/logging.h>

#include <cstdint>
#include <random>
#include <string>

#include "core/wire/coding.h"

namespace bascule::wire {

class Samples {
 public:
  explicit Samples(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  // Any magnitude is as likely as any other.
  uint64_t Number() {
    const uint64_t kind = Below(8);
    if (kind == 0) return 0;
    if (kind == 1) return ~uint64_t{0} - Below(3);
    return random_() >> Below(64);
  }

  // Text that is UTF-8, or (one in four) perhaps not.
  std::string Text() {
    static constexpr const char* kPieces[] = {"a",        "foo.bar",      "header-name",
                                              "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8c\x89",
                                              "\x7f",     "12345678"};
    std::string text;
    for (uint64_t n = Below(6); n > 0; --n) text += kPieces[Below(std::size(kPieces))];
    if (OneIn(8)) text.push_back('\0');
    if (OneIn(4)) text.insert(Below(text.size() + 1), 1, static_cast<char>(Below(256)));
    return text;
  }

  // Fields of all kinds with numbers around those of `highest` known ones; some malformed.
  std::string Message(uint32_t highest, int nesting = 4) {
    std::string out;
    for (uint64_t n = Below(7); n > 0; --n) AppendField(out, highest, nesting);
    if (OneIn(12)) Spoil(out);
    return out;
  }

  // Changes, removes or adds a byte somewhere.
  void Spoil(std::string& bytes) {
    const uint64_t at = Below(bytes.size() + 1);
    const uint64_t kind = Below(4);
    if (kind == 0) bytes.resize(at);
    if (kind == 1) bytes.insert(at, 1, static_cast<char>(Below(256)));
    if (kind == 2 && at < bytes.size()) bytes.erase(at, 1);
    if (kind == 3 && at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
  }

 private:
  // A varint, now and then longer than it need be, or too long.
  void AppendInteger(std::string& out, uint64_t number) {
    char bytes[kMaxVarintBytes];
    std::string varint(bytes, static_cast<size_t>(PutVarint(bytes, number) - bytes));
    if (OneIn(16)) {
      for (uint64_t n = 1 + Below(10); n > 0; --n) {
        varint.back() = static_cast<char>(varint.back() | 0x80);
        varint.push_back(static_cast<char>(OneIn(4) ? Below(128) : 0));
      }
    }
    out += varint;
  }

  uint32_t FieldNumber(uint32_t highest) {
    static constexpr uint32_t kOdd[] = {0, 13, 15, 16, 1000, 2047, 2048, (1u << 29) - 1};
    return OneIn(10) ? kOdd[Below(std::size(kOdd))] : static_cast<uint32_t>(1 + Below(highest + 1));
  }

  void AppendField(std::string& out, uint32_t highest, int nesting) {
    const uint32_t field = FieldNumber(highest);
    const auto type =
        static_cast<WireType>(OneIn(3) ? Below(OneIn(8) ? 8 : 4) : uint64_t{kLengthDelimited});
    AppendInteger(out, Tag(field, type));
    if (type == kVarint) AppendInteger(out, Number());
    if (type == kFixed64) out.append(8, 'x');
    if (type == kFixed32) out.append(4, 'x');
    if (type == kLengthDelimited) {
      // Entries of a map among them: field 1 and 2.
      const std::string content = nesting > 0 && OneIn(2) ? Message(2, nesting - 1) : Text();
      AppendInteger(out, content.size() + (OneIn(30) ? Below(3) : 0));
      out += content;
    }
    if (type == kGroup) {
      if (nesting > 0) out += Message(highest, nesting - 1);
      if (!OneIn(6)) AppendInteger(out, Tag(OneIn(6) ? field + 1 : field, kEndGroup));
    }
  }

  std::mt19937_64 random_;
};

// libprotobuf reports every refused string on stderr: not while this lives.
using Quiet = google::protobuf::LogSilencer;

}  // namespace bascule::wire
