// What Publish, PublishAsync and PublishToSubject take, and that a stream can read it off the bus.
#include "core/api/publish_request.h"

#include <doctest/doctest.h>

#include <map>

#include "api.pb.h"
#include "core/base/limits.h"
#include "core/wire/record.h"
#include "nats_bridge/envelope.h"
#include "nats_bridge/publish_envelope.h"
#include "tests/unit/api_world.h"
#include "tests/unit/wire_samples.h"

namespace bascule::api {
namespace {

// What a stream makes of the message; nothing when it takes it for a malformed envelope.
std::optional<wire::PublishView> Heard(const PublishMessage& message, std::string& envelope) {
  envelope.clear();
  nats::AppendPublishEnvelope(envelope, message);
  std::string_view payload;
  wire::PublishView view;
  if (nats::OpenEnvelope(envelope, nats::EnvelopeType::kPublish, payload) !=
          nats::EnvelopeCheck::kOk ||
      !wire::ParsePublish(payload, view))
    return std::nullopt;
  return view;
}

std::map<std::string, std::string> ByName(const wire::HeaderList& headers) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : headers) out[std::string(name)] = std::string(value);
  return out;
}

template <typename Request>
void AddHeaders(Request& request, size_t count) {
  while (static_cast<size_t>(request.headers_size()) < count)
    (*request.mutable_headers())["h" + std::to_string(request.headers_size())] = "v";
}

std::string TooMany(size_t headers) {
  return "a message may have 1024 headers at most, this one has " + std::to_string(headers);
}

TEST_CASE("publish: whatever is taken over gRPC, a stream reads off the bus as it was sent") {
  google::protobuf::LogSilencer silence;
  wire::Samples samples(11);
  PublishRequestView taken;
  std::string envelope;
  int heard = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = samples.Message(9);
    if (samples.OneIn(50)) {  // headers about the limit, some of one name
      proto::PublishRequest many;
      AddHeaders(many, limits::kMaxHeaders - 2 + samples.Below(5));
      bytes += many.SerializeAsString();
    }
    if (!ParsePublishRequest(bytes, taken) || !CheckHeaders(taken.headers).ok()) continue;
    const auto view = Heard(taken.message, envelope);
    REQUIRE(view.has_value());
    ++heard;
    CHECK(view->key.value_or("") == taken.message.key);
    CHECK(view->value.value_or("") == taken.message.value);
    CHECK(ByName(view->headers) == ByName(taken.message.headers));
    CHECK(view->ack_inbox == taken.message.ack_inbox);
    CHECK(view->correlation_id == taken.message.correlation_id);
    // Also a policy that nobody knows, by contract: stored, and not acknowledged.
    CHECK(static_cast<int32_t>(view->ack_policy) == taken.message.ack_policy);
    CHECK(view->expected_offset == taken.message.expected_offset);
  }
  CHECK(heard > 5000);
}

TEST_CASE("publish request: headers past the limit are counted, what follows them is read") {
  proto::PublishRequest request;
  AddHeaders(request, limits::kMaxHeaders);
  request.set_correlationid("c");
  PublishRequestView view;
  std::string bytes = request.SerializeAsString();  // what the view looks at
  REQUIRE(ParsePublishRequest(bytes, view));
  CHECK(view.message.headers.size() == limits::kMaxHeaders);
  CHECK(CheckHeaders(view.headers).ok());
  AddHeaders(request, limits::kMaxHeaders + 76);
  bytes = request.SerializeAsString();
  REQUIRE(ParsePublishRequest(bytes, view));
  CHECK(view.message.headers.size() == limits::kMaxHeaders);
  CHECK(view.message.correlation_id == "c");
  CHECK(CheckHeaders(view.headers) == absl::InvalidArgumentError(TooMany(1100)));
}

TEST_CASE("publish: more headers than a stream reads are refused, and nothing goes out") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.bus.AckAll();
  const auto publish = [&](size_t headers, std::string stream = "s") {
    proto::PublishRequest request;
    request.set_stream(std::move(stream));
    AddHeaders(request, headers);
    proto::PublishResponse response;
    grpc::ClientContext context;
    LimitCall(context);
    return Shown(world.stub->Publish(&context, request, &response));
  };
  const auto publish_to_subject = [&](size_t headers, proto::AckPolicy policy) {
    proto::PublishToSubjectRequest request;
    request.set_subject("foo");
    request.set_ackpolicy(policy);
    AddHeaders(request, headers);
    proto::PublishToSubjectResponse response;
    grpc::ClientContext context;
    LimitCall(context);
    return Shown(world.stub->PublishToSubject(&context, request, &response));
  };
  CHECK(publish(1025) == "3 " + TooMany(1025));
  CHECK(publish(1025, "x") == "5 no such stream: x");  // the contract's checks come first
  CHECK(publish_to_subject(1025, proto::LEADER) == "3 " + TooMany(1025));
  CHECK(publish_to_subject(1025, proto::NONE) == "3 " + TooMany(1025));
  CHECK(world.bus.published().empty());
  CHECK(publish(1024) == "0 ");
  CHECK(publish_to_subject(1024, proto::LEADER) == "0 ");
  CHECK(world.bus.published().size() == 2);
}

TEST_CASE("publish async: more headers than a stream reads are an error of that request") {
  ApiWorld world;
  world.AddStream("s", "foo");
  world.bus.AckAll();
  grpc::ClientContext context;
  LimitCall(context);
  const auto session = world.stub->PublishAsync(&context);
  const auto send = [&](std::string id, size_t headers) {
    proto::PublishRequest request;
    request.set_stream("s");
    request.set_correlationid(std::move(id));
    AddHeaders(request, headers);
    proto::PublishResponse response;
    REQUIRE(session->Write(request));
    REQUIRE(session->Read(&response));
    return response;
  };
  const proto::PublishResponse refused = send("large", 1100);
  CHECK(refused.correlationid() == "large");
  CHECK(refused.asyncerror().code() == proto::PublishAsyncError::BAD_REQUEST);
  CHECK(refused.asyncerror().message() == TooMany(1100));
  CHECK(send("fits", 1024).ack().correlationid() == "fits");
  CHECK(world.bus.published().size() == 1);
  session->WritesDone();
  CHECK(session->Finish().ok());
}

}  // namespace
}  // namespace bascule::api
