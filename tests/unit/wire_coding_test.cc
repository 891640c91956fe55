#include "core/wire/coding.h"

#include <doctest/doctest.h>
#include <google/protobuf/io/coded_stream.h>

#include <vector>

#include "api.pb.h"
#include "tests/unit/wire_samples.h"

namespace bascule::wire {
namespace {

std::string Varint(uint64_t value) {
  std::string out;
  AppendVarint(out, value);
  return out;
}

// Whether libprotobuf takes `text` as the content of a string field.
bool LibprotobufTakes(std::string_view text) {
  std::string message;
  AppendBytesField(message, 5, text);
  return proto::Message().ParseFromString(message);
}

TEST_CASE("fixed-width numbers are little-endian") {
  std::string out;
  AppendFixed<uint16_t>(out, 0x0102);
  AppendFixed<int64_t>(out, -2);
  CHECK(out == std::string("\x02\x01\xfe\xff\xff\xff\xff\xff\xff\xff", 10));
  CHECK(GetFixed<uint16_t>(out.data()) == 0x0102);
  CHECK(GetFixed<int64_t>(out.data() + 2) == -2);
}

TEST_CASE("varints have protobuf's size and bytes and come back") {
  using google::protobuf::io::CodedOutputStream;
  for (int shift = 0; shift < 64; ++shift) {
    for (int around = -1; around <= 1; ++around) {
      const uint64_t value = (uint64_t{1} << shift) + static_cast<uint64_t>(around);
      const std::string bytes = Varint(value);
      uint8_t theirs[kMaxVarintBytes];
      const auto size =
          static_cast<size_t>(CodedOutputStream::WriteVarint64ToArray(value, theirs) - theirs);
      CHECK(bytes == std::string(reinterpret_cast<char*>(theirs), size));
      CHECK(VarintSize(value) == size);
      std::string_view in = bytes;
      uint64_t back = 0;
      REQUIRE(TakeVarint(in, back));
      CHECK(back == value);
      CHECK(in.empty());
      for (size_t cut = 0; cut < size; ++cut) {
        in = std::string_view(bytes).substr(0, cut);
        CHECK_FALSE(TakeVarint(in, back));
      }
    }
  }
  CHECK(Varint(static_cast<uint64_t>(int64_t{-1})).size() == 10);
}

TEST_CASE("a varint of eleven bytes is refused, a tenth byte's surplus bits are dropped") {
  const std::string eleven = std::string(10, '\x80') + '\0';
  const std::string surplus = std::string(9, '\x80') + '\x7f';
  std::string_view in = eleven;
  uint64_t value = 0;
  CHECK_FALSE(TakeVarint(in, value));
  in = surplus;
  REQUIRE(TakeVarint(in, value));
  CHECK(value == uint64_t{1} << 63);
}

TEST_CASE("lengths: five bytes, below 2 GiB, never past the end") {
  std::string_view bytes;
  for (const std::string& refused :
       {std::string("\x80\x80\x80\x80\x80\x00", 6), std::string("\xff\xff\xff\xff\x07"),
        std::string("\xff\xff\xff\xff\x0f"), std::string("\x02x"), std::string("\x80"),
        std::string()}) {
    std::string_view in = refused;
    CHECK_FALSE(TakeBytes(in, bytes));
  }
  const std::string overlong("\x82\x80\x80\x80\x00xyz", 8);
  std::string_view in = overlong;
  REQUIRE(TakeBytes(in, bytes));
  CHECK(bytes == "xy");
  CHECK(in == "z");
}

TEST_CASE("fields of every wire type") {
  std::string message = Varint(Tag(1, kVarint)) + Varint(300);
  message += Varint(Tag(2, kFixed64)) + "\x01" + std::string(7, '\0');
  message += Varint(Tag(3, kFixed32)) + "\x02" + std::string(3, '\0');
  AppendBytesField(message, 4, "text");
  message += Varint(Tag(5, kGroup)) + Varint(Tag(1, kVarint)) + "\x07" + Varint(Tag(5, kEndGroup));
  std::string_view in = message;
  Field field;
  std::vector<std::string> seen;
  while (!in.empty()) {
    REQUIRE(TakeField(in, field));
    const bool has_bytes = field.type == kLengthDelimited || field.type == kGroup;
    seen.push_back(has_bytes ? std::string(field.bytes) : std::to_string(field.number));
  }
  CHECK(seen == std::vector<std::string>{"300", "1", "2", "text", "\x08\x07"});
  for (size_t cut = 1; cut < 5; ++cut) {  // within the group at the end
    in = std::string_view(message).substr(0, message.size() - cut);
    bool ok = true;
    while (ok && !in.empty()) ok = TakeField(in, field);
    CHECK(ok == (cut == 4));
  }
}

TEST_CASE("groups nest as deep as libprotobuf lets them, in a message and in a map entry") {
  const Quiet quiet;
  for (const bool entry : {false, true}) {
    for (int depth : {1, 98, 99, 100, 101, 500}) {
      std::string message = std::string(static_cast<size_t>(depth), '\x7b');  // field 15
      message += std::string(static_cast<size_t>(depth), '\x7c');
      if (entry) {
        std::string field;
        AppendBytesField(field, 9, message);
        message = field;
      }
      std::string_view in = message;
      Field field;
      bool ok = TakeField(in, field);
      if (ok && entry) {
        in = field.bytes;
        ok = TakeField(in, field, kMaxNesting - 1);
      }
      CHECK(ok == proto::Message().ParseFromString(message));
      CHECK(ok == (depth <= (entry ? 99 : 100)));
    }
  }
}

TEST_CASE(
    "UTF-8: the same verdict as libprotobuf's on every lead byte and all boundaries behind it") {
  const Quiet quiet;
  static constexpr unsigned char kNext[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90,
                                            0x9f, 0xa0, 0xbf, 0xc0, 0xff};
  size_t valid = 0;
  for (int lead = 0; lead < 256; ++lead) {
    for (unsigned char second : kNext) {
      for (unsigned char third : kNext) {
        for (unsigned char fourth : kNext) {
          const char bytes[] = {static_cast<char>(lead), static_cast<char>(second),
                                static_cast<char>(third), static_cast<char>(fourth)};
          for (size_t size = 1; size <= 4; ++size) {
            if (size < 4 && fourth != 0) continue;  // the shorter ones once each
            const std::string_view text(bytes, size);
            const bool ours = IsValidUtf8(text);
            valid += ours;
            if (ours != LibprotobufTakes(text)) FAIL_CHECK("differs at lead byte " << lead);
          }
        }
      }
    }
  }
  CHECK(valid > 1000);
}

TEST_CASE("UTF-8: the same verdict wherever in a text the character stands") {
  const Quiet quiet;
  for (const std::string character :
       {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8c\x89", "\xed\xa0\x80", "\xff", "\xe2\x82"}) {
    for (size_t before = 0; before < 20; ++before) {
      for (size_t after = 0; after < 20; ++after) {
        const std::string text = std::string(before, 'a') + character + std::string(after, 'b');
        CHECK(IsValidUtf8(text) == LibprotobufTakes(text));
      }
    }
  }
}

TEST_CASE("only the invalid bytes are escaped") {
  CHECK(EscapeInvalidUtf8("") == "");
  CHECK(EscapeInvalidUtf8("caf\xc3\xa9 100%") == "caf\xc3\xa9 100%");
  CHECK(EscapeInvalidUtf8("caf\xe9.x") == "caf%E9.x");
  CHECK(EscapeInvalidUtf8("\xe2\x82") == "%E2%82");
  CHECK(EscapeInvalidUtf8("12345678\xed\xa0\x80\xc3\xa4\xff") == "12345678%ED%A0%80\xc3\xa4%FF");
  Samples samples(1);
  for (int i = 0; i < 2000; ++i) {
    const std::string text = samples.Text();
    const std::string escaped = EscapeInvalidUtf8(text);
    CHECK(IsValidUtf8(escaped));
    CHECK((escaped == text) == IsValidUtf8(text));
  }
}

TEST_CASE("a group ends with its own number") {
  Field field;
  for (const uint32_t end : {5u, 6u}) {
    const std::string message = Varint(Tag(5, kGroup)) + Varint(Tag(end, kEndGroup));
    std::string_view in = message;
    CHECK(TakeField(in, field) == (end == 5));
  }
}

}  // namespace
}  // namespace bascule::wire
