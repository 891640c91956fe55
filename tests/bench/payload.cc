#include "tests/bench/payload.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace bascule::bench {

namespace {

// Cuts start at one of this many places, 8 bytes apart.
constexpr uint64_t kCuts = 128;

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t ChecksumOf(const PayloadHeader& header, size_t bytes) {
  uint64_t sum = Mix(header.run ^ bytes);
  sum = Mix(sum ^ header.sequence);
  return Mix(sum ^ static_cast<uint64_t>(header.sent_ns));
}

std::string NoiseOf(uint64_t run, size_t bytes) {
  std::string noise((bytes / 8 + kCuts + 1) * 8, '\0');
  for (size_t i = 0; i < noise.size(); i += 8) {
    const uint64_t word = Mix(run + i);
    std::memcpy(noise.data() + i, &word, sizeof(word));
  }
  return noise;
}

std::string_view CutOf(const std::string& noise, uint64_t sequence, size_t bytes) {
  return std::string_view(noise).substr(sequence % kCuts * 8, bytes - kPayloadHeaderBytes);
}

}  // namespace

PayloadMaker::PayloadMaker(uint64_t run, size_t bytes)
    : run_(run), noise_(NoiseOf(run, bytes)), payload_(bytes, '\0') {}

std::string_view PayloadMaker::Make(uint64_t sequence, int64_t sent_ns) {
  PayloadHeader header{.run = run_, .sequence = sequence, .sent_ns = sent_ns};
  header.checksum = ChecksumOf(header, payload_.size());
  std::memcpy(payload_.data(), &header, sizeof(header));
  const std::string_view cut = CutOf(noise_, sequence, payload_.size());
  std::memcpy(payload_.data() + kPayloadHeaderBytes, cut.data(), cut.size());
  return payload_;
}

PayloadChecker::PayloadChecker(uint64_t run, size_t bytes)
    : run_(run), bytes_(bytes), noise_(NoiseOf(run, bytes)) {}

absl::Status PayloadChecker::Check(std::string_view payload) {
  if (payload.size() != bytes_) {
    return absl::DataLossError(absl::StrCat("message ", next_, " of run ", run_, " has ",
                                            payload.size(), " bytes, expected ", bytes_));
  }
  const PayloadHeader header = ReadHeader(payload);
  if (header.checksum != ChecksumOf(header, bytes_)) {
    return absl::DataLossError(
        absl::StrCat("message ", next_, " of run ", run_, ": checksum mismatch"));
  }
  if (header.run != run_) {
    return absl::DataLossError(
        absl::StrCat("message ", next_, " of run ", run_, " belongs to run ", header.run));
  }
  if (header.sequence != next_) {
    const char* verdict =
        header.sequence > next_ ? "messages are missing" : "repeated or reordered";
    return absl::DataLossError(absl::StrCat("run ", run_, ": expected message ", next_, ", found ",
                                            header.sequence, ": ", verdict));
  }
  if (payload.substr(kPayloadHeaderBytes) != CutOf(noise_, header.sequence, bytes_)) {
    return absl::DataLossError(
        absl::StrCat("message ", next_, " of run ", run_, ": its bytes have changed"));
  }
  ++next_;
  return absl::OkStatus();
}

PayloadHeader ReadHeader(std::string_view payload) {
  static_assert(sizeof(PayloadHeader) == kPayloadHeaderBytes);
  PayloadHeader header;
  if (payload.size() >= sizeof(header)) std::memcpy(&header, payload.data(), sizeof(header));
  return header;
}

}  // namespace bascule::bench
