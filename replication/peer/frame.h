// What peers say to each other, as values; peer.proto has the bytes. Everything decoded is within
// its bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/base/types.h"
#include "replication/peer_transport.h"

namespace bascule::peer {

inline constexpr uint32_t kMagic = 0x4C435342;
inline constexpr uint32_t kProtocol = 1;
// Receiver's bound on one gRPC message, applied before it is parsed.
inline constexpr size_t kMaxFrameBytes = limits::kPeerFrameBytes + limits::kPeerFrameOverheadBytes;

struct Hello {
  uint32_t protocol = kProtocol;
  std::string cluster_id;
  std::string cluster_namespace;
  PeerIdentity from;
  PeerId to;
  bool operator==(const Hello&) const = default;
};

struct Message {
  PeerService service{};
  std::string body;
  bool operator==(const Message&) const = default;
};

struct Call {
  uint64_t id = 0;
  PeerService service{};
  Duration timeout{0};
  std::string body;
  bool operator==(const Call&) const = default;
};

struct Answer {
  uint64_t id = 0;
  absl::StatusOr<std::string> result{std::string()};
  bool operator==(const Answer&) const = default;
};

// Starts a body of `length` bytes; `crc` is over header and body.
struct BulkBegin {
  uint64_t id = 0;
  PeerService service{};
  Duration timeout{0};
  std::string header;
  uint64_t length = 0;
  uint32_t crc = 0;
  bool operator==(const BulkBegin&) const = default;
};

struct BulkData {
  std::string data;
  bool operator==(const BulkData&) const = default;
};

struct BulkAbort {
  bool operator==(const BulkAbort&) const = default;
};

using Frame = std::variant<Hello, Message, Call, Answer, BulkBegin, BulkData, BulkAbort>;

struct Introduction {
  Hello from;
  Duration timeout{0};
  std::string body;
  bool operator==(const Introduction&) const = default;
};

std::string EncodeFrame(const Frame& frame);
// InvalidArgument says what is wrong with it.
absl::StatusOr<Frame> DecodeFrame(std::string_view bytes);
// Only a Hello, and not larger than one may be.
absl::StatusOr<Hello> DecodeHello(std::string_view bytes);

std::string EncodeIntroduction(const Introduction& introduction);
absl::StatusOr<Introduction> DecodeIntroduction(std::string_view bytes);
// The answer to an introduction; its id has no meaning.
std::string EncodeAnswer(const Answer& answer);
absl::StatusOr<Answer> DecodeAnswer(std::string_view bytes);

// Another broker's words in a text of ours: printable, and not long.
std::string Quoted(std::string_view theirs);
std::string Printable(std::string_view theirs);  // the same, longer and without quotes

}  // namespace bascule::peer
