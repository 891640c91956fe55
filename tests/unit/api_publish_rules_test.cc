#include "core/api/publish_rules.h"

#include <doctest/doctest.h>

#include "absl/strings/match.h"

#include "api.pb.h"
#include "core/api/in_flight_window.h"
#include "core/api/publish_request.h"
#include "core/api/response_batch.h"
#include "tests/unit/wire_samples.h"

namespace bascule {
namespace {

void CheckSame(const PublishRequestView& view, const proto::PublishRequest& wanted) {
  CHECK(view.message.key == wanted.key());
  CHECK(view.message.value == wanted.value());
  CHECK(view.message.stream == wanted.stream());
  CHECK(view.message.ack_inbox == wanted.ackinbox());
  CHECK(view.message.correlation_id == wanted.correlationid());
  CHECK(view.message.ack_policy == wanted.ackpolicy());
  CHECK(view.message.expected_offset == wanted.expectedoffset());
  CHECK(view.partition == wanted.partition());
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : view.message.headers)
    headers[std::string(name)] = std::string(value);
  CHECK(headers ==
        std::map<std::string, std::string>(wanted.headers().begin(), wanted.headers().end()));
}

TEST_CASE("requests are read as libprotobuf reads them, and refused where it refuses") {
  google::protobuf::LogSilencer silence;
  wire::Samples samples(7);
  PublishRequestView view;
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string bytes = samples.Message(9);
    proto::PublishRequest wanted;
    const bool ok = wanted.ParseFromString(bytes);
    REQUIRE(ParsePublishRequest(bytes, view) == ok);
    if (!ok) continue;
    ++accepted;
    CheckSame(view, wanted);
  }
  CHECK(accepted > 5000);
}

TEST_CASE("a request with more headers than the limit is refused") {
  proto::PublishRequest request;
  for (size_t i = 0; i <= limits::kMaxHeaders; ++i)
    (*request.mutable_headers())[std::to_string(i)] = "v";
  PublishRequestView view;
  CHECK_FALSE(ParsePublishRequest(request.SerializeAsString(), view));
  request.mutable_headers()->erase("0");
  CHECK(ParsePublishRequest(request.SerializeAsString(), view));
}

TEST_CASE("responses are what libprotobuf expects") {
  proto::Ack ack;
  ack.set_stream("s");
  ack.set_offset(5);
  ack.set_correlationid("c");
  ResponseBatch batch;
  batch.AddAck("c", ack.SerializeAsString());
  batch.AddError("d", {AsyncErrorCode::kNotFound, "no such stream: x"});
  REQUIRE(batch.ends.size() == 2);
  proto::PublishResponse first, second;
  REQUIRE(first.ParseFromString(batch.bytes.substr(0, batch.ends[0])));
  REQUIRE(second.ParseFromString(batch.bytes.substr(batch.ends[0])));
  CHECK(first.correlationid() == "c");
  CHECK(first.ack().offset() == 5);
  CHECK_FALSE(first.has_asyncerror());
  CHECK(second.correlationid() == "d");
  CHECK(second.has_ack());
  CHECK(second.ack().ByteSizeLong() == 0);
  CHECK(second.asyncerror().code() == proto::PublishAsyncError::NOT_FOUND);
  CHECK(second.asyncerror().message() == "no such stream: x");
}

TEST_CASE("targets: checks in order, subjects by partition, changes seen") {
  StreamCatalog catalog;
  PublishTargets targets(catalog);
  CHECK(targets.Subject("s", 0, 0).status() == absl::NotFoundError("no such stream: s"));
  auto entry = std::make_shared<CatalogEntry>();
  entry->stream.name = "s";
  entry->stream.subject = "foo";
  entry->stream.partitions.resize(2);
  catalog.Put(entry);
  CHECK(*targets.Subject("s", 0, 0) == "foo");
  CHECK(*targets.Subject("s", 1, 2) == "foo.1");
  CHECK(targets.Subject("s", 2, 0).status() == absl::NotFoundError("no such partition: 2"));
  CHECK(targets.Subject("s", -1, 0).status() == absl::NotFoundError("no such partition: -1"));

  auto strict = std::make_shared<CatalogEntry>(*entry);
  strict->stream.subject = "bar";
  strict->settings.optimistic_concurrency_control = true;
  catalog.Put(strict);
  CHECK(*targets.Subject("s", 1, 0) == "bar.1");
  CHECK(targets.Subject("s", 0, 2).status() ==
        absl::InvalidArgumentError("stream with concurrency control must have AckPolicy set"));
  CHECK(targets.Subject("s", 2, 2).status() == absl::NotFoundError("no such partition: 2"));
}

TEST_CASE("error acks have their codes and texts") {
  CHECK(AckFailureStatus(2) == absl::UnknownError("incorrect expected offset"));
  CHECK(AckFailureStatus(3) == absl::InvalidArgumentError("message exceeds max replication size"));
  CHECK(AckFailureStatus(4) == absl::InternalError("encryption failed on partition"));
  CHECK(AckFailureStatus(1).code() == absl::StatusCode::kUnknown);
  CHECK(absl::StrContains(AckFailureStatus(1).message(), "not stored"));
  CHECK(AckFailureStatus(102) == absl::UnknownError("unknown error"));
  CHECK(AckFailure(2).code == AsyncErrorCode::kIncorrectOffset);
  CHECK(AckFailure(3).code == AsyncErrorCode::kBadRequest);
  CHECK(AckFailure(4).code == AsyncErrorCode::kEncryptionFailed);
  CHECK(AckFailure(9).code == AsyncErrorCode::kUnknown);
}

TEST_CASE("the window counts, releases the oldest, and forgets by age") {
  InFlightWindow window(3, 100);
  const MonotonicTime start(1000);
  window.Add(start, 10);
  window.Add(start + 1, 20);
  CHECK(window.HasRoom(0));
  CHECK_FALSE(window.HasRoom(1));
  window.TakeBack();
  CHECK(window.bytes() == 10);
  window.Add(start + 2, 90);
  CHECK_FALSE(window.HasRoom(0));  // by bytes
  window.Release();
  CHECK(window.bytes() == 90);
  CHECK(window.HasRoom(0));
  window.Expire(Add(start, InFlightWindow::kAge) + 1);
  CHECK(window.count() == 1);
  CHECK(window.NextExpiry() == Add(start + 2, InFlightWindow::kAge));
  window.Expire(window.NextExpiry());
  CHECK(window.empty());
  window.Release();  // an ack too many
  CHECK(window.bytes() == 0);
}

TEST_CASE("what cannot fit into a NATS message is refused before it is copied") {
  PublishMessage message;
  const std::string half(50, 'x');
  message.key = half;
  message.value = half;
  CHECK(CheckPayload(message, 0).ok());
  CHECK(CheckPayload(message, 100).ok());
  message.headers.emplace_back("n", "");
  CHECK(CheckPayload(message, 100) == absl::InvalidArgumentError("nats: maximum payload exceeded"));
}

}  // namespace
}  // namespace bascule
