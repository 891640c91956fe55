#include "replication/peer/frame.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "replication/peer/peer.pb.h"

namespace bascule::peer {
namespace {

constexpr size_t kQuotedBytes = 128;
constexpr size_t kPrintableBytes = 1024;
constexpr uint32_t kMaxStatusCode = static_cast<uint32_t>(absl::StatusCode::kUnauthenticated);

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError(Concat("not a frame of the peer protocol: ", why));
}

v1::Hello ToProto(const Hello& hello) {
  v1::Hello out;
  out.set_magic(kMagic);
  out.set_protocol(hello.protocol);
  out.set_cluster_id(hello.cluster_id);
  out.set_cluster_namespace(hello.cluster_namespace);
  out.set_server_id(hello.from.server_id);
  out.set_node(hello.from.id.value());
  out.set_incarnation(hello.from.incarnation);
  out.set_feature_level(hello.from.feature_level);
  out.set_address(hello.from.address);
  out.set_to(hello.to.value());
  return out;
}

absl::StatusOr<Hello> FromProto(v1::Hello& in) {
  if (in.magic() != kMagic) return Bad("its first word is not that of a Bascule broker");
  for (const std::string* text :
       {&in.cluster_id(), &in.cluster_namespace(), &in.server_id(), &in.address()}) {
    if (text->size() > limits::kPeerNameBytes) return Bad("a name in its hello is too long");
  }
  Hello hello;
  hello.protocol = in.protocol();
  hello.cluster_id = std::move(*in.mutable_cluster_id());
  hello.cluster_namespace = std::move(*in.mutable_cluster_namespace());
  hello.from.server_id = std::move(*in.mutable_server_id());
  hello.from.id = PeerId(in.node());
  hello.from.incarnation = in.incarnation();
  hello.from.feature_level = in.feature_level();
  hello.from.address = std::move(*in.mutable_address());
  hello.to = PeerId(in.to());
  return hello;
}

bool IsService(uint32_t number) { return number >= 1 && number <= UINT8_MAX; }

Duration TimeoutFrom(int64_t wire) { return Duration(std::max<int64_t>(wire, 0)); }

v1::Answer ToProto(const Answer& answer) {
  v1::Answer out;
  out.set_id(answer.id);
  if (answer.result.ok()) {
    out.set_body(*answer.result);
    return out;
  }
  const absl::string_view text = answer.result.status().message();
  out.set_code(static_cast<uint32_t>(answer.result.status().code()));
  out.set_text(std::string(text.substr(0, limits::kPeerStatusTextBytes)));
  return out;
}

Answer FromProto(v1::Answer& in) {
  Answer answer;
  answer.id = in.id();
  if (in.code() == 0) {
    answer.result = std::move(*in.mutable_body());
    return answer;
  }
  // A code of a later version is one that nobody here can act upon.
  const auto code = in.code() <= kMaxStatusCode ? static_cast<absl::StatusCode>(in.code())
                                                : absl::StatusCode::kUnknown;
  in.mutable_text()->resize(std::min(in.text().size(), limits::kPeerStatusTextBytes));
  answer.result = absl::Status(code, in.text());
  return answer;
}

void Set(v1::Frame& out, const Hello& hello) { *out.mutable_hello() = ToProto(hello); }
void Set(v1::Frame& out, const Answer& answer) { *out.mutable_answer() = ToProto(answer); }
void Set(v1::Frame& out, const Message& message) {
  out.mutable_message()->set_service(static_cast<uint32_t>(message.service));
  out.mutable_message()->set_body(message.body);
}
void Set(v1::Frame& out, const Call& call) {
  v1::Call& to = *out.mutable_call();
  to.set_id(call.id);
  to.set_service(static_cast<uint32_t>(call.service));
  to.set_timeout(call.timeout.count());
  to.set_body(call.body);
}
void Set(v1::Frame& out, const BulkBegin& begin) {
  v1::BulkBegin& to = *out.mutable_bulk_begin();
  to.set_id(begin.id);
  to.set_service(static_cast<uint32_t>(begin.service));
  to.set_timeout(begin.timeout.count());
  to.set_header(begin.header);
  to.set_length(begin.length);
  to.set_crc32c(begin.crc);
}
void Set(v1::Frame& out, const BulkData& data) { out.mutable_bulk_data()->set_data(data.data); }
void Set(v1::Frame& out, const BulkAbort&) { out.mutable_bulk_abort(); }

absl::StatusOr<Frame> FrameFrom(v1::Message& in) {
  if (!IsService(in.service())) return Bad("a message of no service");
  if (in.body().size() > limits::kPeerFrameBytes) return Bad("a message is too large");
  return Message{PeerService(in.service()), std::move(*in.mutable_body())};
}

absl::StatusOr<Frame> FrameFrom(v1::Call& in) {
  if (!IsService(in.service())) return Bad("a call of no service");
  if (in.id() == 0) return Bad("a call without an id");
  if (in.body().size() > limits::kPeerFrameBytes) return Bad("a call is too large");
  return Call{in.id(), PeerService(in.service()), TimeoutFrom(in.timeout()),
              std::move(*in.mutable_body())};
}

absl::StatusOr<Frame> FrameFrom(v1::BulkBegin& in) {
  if (!IsService(in.service())) return Bad("a body of no service");
  if (in.id() == 0) return Bad("a body without an id");
  if (in.header().size() > limits::kPeerBulkHeaderBytes) return Bad("a body's header is too large");
  if (in.length() > limits::kPeerBulkBytes) return Bad("a body is too large");
  return BulkBegin{in.id(),
                   PeerService(in.service()),
                   TimeoutFrom(in.timeout()),
                   std::move(*in.mutable_header()),
                   in.length(),
                   in.crc32c()};
}

template <typename Proto>
std::string Serialized(const Proto& proto) {
  std::string out;
  BASCULE_CHECK(proto.SerializeToString(&out));
  return out;
}

template <typename Proto>
bool Parse(std::string_view bytes, Proto& out) {
  return bytes.size() <= kMaxFrameBytes &&
         out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string EncodeFrame(const Frame& frame) {
  v1::Frame out;
  std::visit([&](const auto& kind) { Set(out, kind); }, frame);
  return Serialized(out);
}

absl::StatusOr<Frame> DecodeFrame(std::string_view bytes) {
  v1::Frame in;
  if (!Parse(bytes, in)) return Bad("it cannot be parsed");
  switch (in.kind_case()) {
    case v1::Frame::kHello:
      return FromProto(*in.mutable_hello());
    case v1::Frame::kMessage:
      return FrameFrom(*in.mutable_message());
    case v1::Frame::kCall:
      return FrameFrom(*in.mutable_call());
    case v1::Frame::kAnswer:
      if (in.answer().body().size() > limits::kPeerFrameBytes) return Bad("an answer is too large");
      return FromProto(*in.mutable_answer());
    case v1::Frame::kBulkBegin:
      return FrameFrom(*in.mutable_bulk_begin());
    case v1::Frame::kBulkData:
      if (in.bulk_data().data().size() > limits::kPeerFrameBytes)
        return Bad("a piece is too large");
      return BulkData{std::move(*in.mutable_bulk_data()->mutable_data())};
    case v1::Frame::kBulkAbort:
      return BulkAbort{};
    case v1::Frame::KIND_NOT_SET:
      break;
  }
  return Bad("it is of no known kind");
}

absl::StatusOr<Hello> DecodeHello(std::string_view bytes) {
  if (bytes.size() > limits::kPeerHelloBytes) return Bad("the first frame is larger than a hello");
  ASSIGN_OR_RETURN(Frame frame, DecodeFrame(bytes));
  Hello* hello = std::get_if<Hello>(&frame);
  if (hello == nullptr) return Bad("the first frame is not a hello");
  return std::move(*hello);
}

std::string EncodeIntroduction(const Introduction& introduction) {
  v1::Introduction out;
  *out.mutable_from() = ToProto(introduction.from);
  out.set_timeout(introduction.timeout.count());
  out.set_body(introduction.body);
  return Serialized(out);
}

absl::StatusOr<Introduction> DecodeIntroduction(std::string_view bytes) {
  if (bytes.size() > limits::kPeerIntroductionBytes + limits::kPeerHelloBytes) {
    return Bad(Concat("an introduction has ", bytes.size(), " bytes, at most ",
                      limits::kPeerIntroductionBytes, " are allowed"));
  }
  v1::Introduction in;
  if (!Parse(bytes, in)) return Bad("an introduction cannot be parsed");
  Introduction out;
  ASSIGN_OR_RETURN(out.from, FromProto(*in.mutable_from()));
  out.timeout = TimeoutFrom(in.timeout());
  out.body = std::move(*in.mutable_body());
  return out;
}

std::string EncodeAnswer(const Answer& answer) { return Serialized(ToProto(answer)); }

absl::StatusOr<Answer> DecodeAnswer(std::string_view bytes) {
  v1::Answer in;
  if (!Parse(bytes, in)) return Bad("an answer cannot be parsed");
  if (in.body().size() > limits::kPeerIntroductionBytes) return Bad("an answer is too large");
  return FromProto(in);
}

std::string Printable(std::string_view theirs) {
  std::string out;
  for (const char c : theirs.substr(0, kPrintableBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out.push_back(c);
    } else {
      out += Concat("\\x", absl::Hex(byte, absl::kZeroPad2));
    }
  }
  if (theirs.size() > kPrintableBytes) out += "...";
  return out;
}

std::string Quoted(std::string_view theirs) {
  return Concat("'", Printable(theirs.substr(0, kQuotedBytes)),
                theirs.size() > kQuotedBytes ? "...'" : "'");
}

}  // namespace bascule::peer
