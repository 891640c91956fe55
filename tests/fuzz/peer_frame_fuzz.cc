// Anything a stranger may send to the peer port: no bytes crash the reading of frames, hellos and
// introductions, and what is read is within its bounds and is written as it was.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "replication/peer/certificates.h"
#include "replication/peer/frame.h"
#include "replication/peer/handshake.h"

namespace bascule::peer {
namespace {

void CheckBounds(const Frame& frame) {
  if (const auto* message = std::get_if<Message>(&frame))
    BASCULE_CHECK_LE(message->body.size(), limits::kPeerFrameBytes);
  if (const auto* begin = std::get_if<BulkBegin>(&frame)) {
    BASCULE_CHECK_LE(begin->length, limits::kPeerBulkBytes);
    BASCULE_CHECK_LE(begin->header.size(), limits::kPeerBulkHeaderBytes);
    BASCULE_CHECK_GE(begin->timeout.count(), 0);
  }
  if (const auto* answer = std::get_if<Answer>(&frame); answer != nullptr && !answer->result.ok())
    BASCULE_CHECK_LE(answer->result.status().message().size(), limits::kPeerStatusTextBytes);
  const auto again = DecodeFrame(EncodeFrame(frame));
  BASCULE_CHECK(again.ok());
  BASCULE_CHECK(*again == frame);
}

void CheckHandshake(const Hello& hello) {
  LocalNames local;
  local.self.id = PeerId(1);
  local.self.server_id = "b1";
  local.cluster_id = "c1";
  local.cluster_namespace = "ns";
  for (const char* certificate : {"b1", "b2"}) {
    const auto refused = CheckHello(hello, local, certificate, &hello.from.server_id);
    BASCULE_CHECK(!refused.has_value() || !refused->status.ok());
    // Nobody gets in by another's certificate, or into another cluster.
    BASCULE_CHECK(refused.has_value() ||
                  (hello.from.server_id == certificate && hello.cluster_id == "c1" &&
                   hello.cluster_namespace == "ns" && hello.to == PeerId(1)));
  }
}

}  // namespace
}  // namespace bascule::peer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bascule::peer;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  if (const auto frame = DecodeFrame(in); frame.ok()) CheckBounds(*frame);
  if (const auto hello = DecodeHello(in); hello.ok()) CheckHandshake(*hello);
  if (const auto introduction = DecodeIntroduction(in); introduction.ok()) {
    CheckHandshake(introduction->from);
    const auto again = DecodeIntroduction(EncodeIntroduction(*introduction));
    BASCULE_CHECK(again.ok());
    BASCULE_CHECK(*again == *introduction);
  }
  if (const auto answer = DecodeAnswer(in); answer.ok())
    BASCULE_CHECK(DecodeAnswer(EncodeAnswer(*answer)).value() == *answer);
  (void)CertificateServerId(in);
  return 0;
}
