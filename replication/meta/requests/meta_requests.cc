#include "replication/meta/requests/meta_requests.h"

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {

std::string EncodeResponse(const RequestOutcome& outcome) {
  meta::Response response;
  response.set_code(static_cast<uint32_t>(outcome.status.code()));
  response.set_text(std::string(outcome.status.message()));
  response.set_index(outcome.index.value());
  response.set_body(outcome.body);
  return response.SerializeAsString();
}

RequestOutcome DecodeResponse(const absl::StatusOr<std::string>& response) {
  if (!response.ok()) return {response.status(), {}, {}};
  meta::Response parsed;
  const uint32_t highest = static_cast<uint32_t>(absl::StatusCode::kUnauthenticated);
  if (!parsed.ParseFromString(*response) || parsed.code() > highest) {
    return {absl::UnknownError("the metadata leader's answer does not parse"), {}, {}};
  }
  return {absl::Status(static_cast<absl::StatusCode>(parsed.code()), parsed.text()),
          MetadataIndex(parsed.index()), parsed.body()};
}

std::string EncodeRequest(const meta::Request& request) { return request.SerializeAsString(); }

absl::Status DecodeRequest(std::string_view bytes, meta::Request& request) {
  if (bytes.size() > limits::kMetaRequestBytes) {
    return absl::InvalidArgumentError(Concat("a metadata request of ", bytes.size(),
                                             " bytes: at most ", limits::kMetaRequestBytes));
  }
  if (request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return absl::InvalidArgumentError("a metadata request does not parse");
}

void ToProto(const StreamSpec& in, meta::StreamSpec& out) {
  out.set_name(in.name);
  out.set_subject(in.subject);
  out.set_group(in.group);
  out.set_partitions(in.partitions);
  out.set_replication_factor(in.replication_factor);
  out.set_one_replica_unless_set(in.one_replica_unless_set);
  ToProto(in.overrides, *out.mutable_overrides());
}

StreamSpec FromProto(const meta::StreamSpec& in) {
  StreamSpec out;
  out.name = in.name();
  out.subject = in.subject();
  out.group = in.group();
  out.partitions = in.partitions();
  out.replication_factor = in.replication_factor();
  out.one_replica_unless_set = in.one_replica_unless_set();
  out.overrides = FromProto(in.overrides());
  return out;
}

CommandOrigin OriginOf(const meta::Request& request) {
  if (request.sequence() == 0) return {};
  return {request.broker(), request.incarnation(), request.sequence(), request.answered()};
}

std::string EncodeHeartbeat(const Heartbeat& heartbeat) {
  meta::Heartbeat out;
  out.set_broker(heartbeat.session.broker);
  out.set_incarnation(heartbeat.session.incarnation);
  out.set_generation(heartbeat.report.generation);
  std::string trouble = heartbeat.report.trouble.substr(0, limits::kTroubleBytes);
  // No character is cut in the middle.
  while (trouble.size() == limits::kTroubleBytes && (trouble.back() & 0x80) != 0)
    trouble.pop_back();
  out.set_trouble(trouble);
  return out.SerializeAsString();
}

absl::StatusOr<Heartbeat> DecodeHeartbeat(std::string_view bytes) {
  meta::Heartbeat heartbeat;
  if (bytes.size() > limits::kHeartbeatBytes ||
      !heartbeat.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("a heartbeat does not parse");
  }
  return Heartbeat{{heartbeat.broker(), heartbeat.incarnation()},
                   {heartbeat.generation(), heartbeat.trouble().substr(0, limits::kTroubleBytes)}};
}

}  // namespace bascule::metadata
