#include "core/api/publish_rules.h"

#include <doctest/doctest.h>

#include "absl/strings/match.h"

#include "api.pb.h"
#include "core/api/in_flight_window.h"
#include "core/api/publish_request.h"
#include "core/api/response_batch.h"
#include "tests/unit/wire_samples.h"

namespace bascule::api {
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

TEST_CASE("responses are what libprotobuf expects") {
  proto::Ack ack;
  ack.set_stream("s");
  ack.set_offset(5);
  ack.set_correlationid("c");
  ResponseBatch batch;
  const std::string encoded = ack.SerializeAsString();
  wire::AckView view;
  REQUIRE(wire::ParseAck(encoded, view));
  batch.AddAck(view);
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
  CHECK(targets.Find("s", 0, 0).status() == absl::NotFoundError("no such stream: s"));
  auto entry = std::make_shared<CatalogEntry>();
  entry->stream.name = "s";
  entry->stream.subject = "foo";
  entry->stream.partitions.resize(2);
  catalog.Put(entry);
  CHECK((*targets.Find("s", 0, 0))->subject == "foo");
  CHECK((*targets.Find("s", 1, 2))->subject == "foo.1");
  CHECK(targets.Find("s", 2, 0).status() == absl::NotFoundError("no such partition: 2"));
  CHECK(targets.Find("s", -1, 0).status() == absl::NotFoundError("no such partition: -1"));

  auto strict = std::make_shared<CatalogEntry>(*entry);
  strict->stream.subject = "bar";
  strict->settings.optimistic_concurrency_control = true;
  catalog.Put(strict);
  CHECK((*targets.Find("s", 1, 0))->subject == "bar.1");
  CHECK(targets.Find("s", 0, 2).status() ==
        absl::InvalidArgumentError("stream with concurrency control must have AckPolicy set"));
  CHECK(targets.Find("s", 2, 2).status() == absl::NotFoundError("no such partition: 2"));
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

TEST_CASE("an ack speaks for the stream and partition it names, within a group for all of it") {
  StreamCatalog catalog;
  const auto put = [&](std::string name, std::string subject, std::string group, bool strict) {
    auto entry = std::make_shared<CatalogEntry>();
    entry->stream.name = std::move(name);
    entry->stream.subject = std::move(subject);
    entry->stream.group = std::move(group);
    entry->stream.partitions.resize(2);
    entry->settings.optimistic_concurrency_control = strict;
    catalog.Put(entry);
  };
  put("a", "foo", "", false);
  put("wide", "*", "", false);
  put("g1", "foo", "g", false);
  put("g2", "foo", "g", false);
  put("strict", "foo", "g", true);
  put("elsewhere", "foo.*", "g", false);
  put("other", "foo", "h", false);
  const auto speaks = [&](std::string_view stream, std::string_view subject,
                          std::string_view target, int32_t partition = 0) {
    PublishTargets targets(catalog);
    wire::AckView ack;
    ack.stream = stream;
    ack.message_subject = subject;
    ack.partition = subject.ends_with(".1") ? 1 : 0;
    return VerdictOn(ack, targets.Find(target, partition, 0)->get(), catalog) == AckVerdict::kTaken;
  };
  CHECK(speaks("a", "foo", "a"));
  CHECK(speaks("a", "foo.1", "a", 1));
  CHECK_FALSE(speaks("a", "foo", "a", 1));
  CHECK_FALSE(speaks("a", "foo.1", "a"));
  CHECK_FALSE(speaks("wide", "foo", "a"));
  CHECK_FALSE(speaks("", "foo", "a"));
  CHECK(speaks("wide", "*", "wide"));
  CHECK_FALSE(speaks("g1", "foo", "a"));
  CHECK(speaks("g1", "foo", "g1"));
  CHECK(speaks("g2", "foo", "g1"));
  CHECK(speaks("g2", "foo.1", "g1", 1));
  CHECK_FALSE(speaks("a", "foo", "g1"));
  CHECK_FALSE(speaks("other", "foo", "g1"));
  CHECK_FALSE(speaks("elsewhere", "foo", "g1"));
  CHECK_FALSE(speaks("nobody", "foo", "g1"));
  CHECK_FALSE(speaks("g1", "foo", "strict"));  // it did not look at the expected offset
  CHECK(speaks("strict", "foo", "strict"));
}

TEST_CASE("an ack is of this cluster's stream, of a partition it has, and no replaced leader's") {
  StreamCatalog catalog;
  auto entry = std::make_shared<CatalogEntry>();
  entry->stream.id = StreamId(7);
  entry->stream.name = entry->stream.subject = "s";
  entry->stream.created = Timestamp(1000);
  entry->stream.partitions.resize(2);
  entry->stream.partitions[1].leader_epoch = LeaderEpoch(5);
  catalog.Put(entry);
  PublishTargets targets(catalog);
  const std::shared_ptr<const PublishTarget> target = *targets.Find("s", 1, 0);
  wire::AckView good;
  good.stream = "s";
  good.message_subject = "s.1";
  good.stream_id = 7;
  good.stream_created = 1000;
  good.partition = 1;
  good.leader_epoch = 5;
  const auto counts = [&](auto change) {
    wire::AckView ack = good;
    change(ack);
    const AckOrigin origin = OriginOf(ack, catalog.Find(ack.stream).get());
    const AckVerdict verdict = VerdictOn(ack, target.get(), catalog);
    CHECK((verdict == AckVerdict::kTaken) == (origin == AckOrigin::kLeader));
    CHECK((verdict == AckVerdict::kReplaced) == (origin == AckOrigin::kReplacedLeader));
    CHECK(VerdictOn(ack, nullptr, catalog) ==
          (verdict == AckVerdict::kReplaced ? verdict : AckVerdict::kTaken));
    CHECK((origin == AckOrigin::kReplacedLeader) == (ack.leader_epoch < 5));
    return origin == AckOrigin::kLeader;
  };
  CHECK(counts([](wire::AckView&) {}));
  CHECK(counts([](wire::AckView& ack) { ack.leader_epoch = 6; }));  // not heard of here yet
  CHECK_FALSE(counts([](wire::AckView& ack) { ack.leader_epoch = 4; }));
  CHECK_FALSE(counts([](wire::AckView& ack) { ack.stream_id = 8; }));
  CHECK_FALSE(counts([](wire::AckView& ack) { ack.stream_created = 1001; }));
  CHECK_FALSE(counts([](wire::AckView& ack) { ack.partition = 2; }));
  CHECK_FALSE(counts([](wire::AckView& ack) { ack.partition = -1; }));
  CHECK_FALSE(counts([](wire::AckView& ack) { ack.stream = "t"; }));
  // Of the stream, but of another partition than was asked.
  wire::AckView other = good;
  other.partition = 0;
  CHECK(OriginOf(other, entry.get()) == AckOrigin::kLeader);
  CHECK(VerdictOn(other, target.get(), catalog) == AckVerdict::kForeign);
}

InFlightWindow::Request Waiting(std::string id) { return {std::move(id), nullptr}; }

TEST_CASE("the window counts, gives back exactly what was answered, and forgets by age") {
  InFlightWindow window(RealRng(), 3, 100);
  const MonotonicTime start(1000);
  const std::string first(window.Add(start, 10, Waiting("1")));
  const std::string second(window.Add(start + 1, 20, Waiting("2")));
  CHECK(first.size() == InFlightWindow::kIdBytes);
  CHECK(window.HasRoom(0));
  CHECK_FALSE(window.HasRoom(1));
  CHECK(window.Release(second).correlation_id == "2");
  CHECK(window.bytes() == 10);
  const std::string third(window.Add(start + 2, 90, Waiting("3")));
  CHECK_FALSE(window.HasRoom(0));  // by bytes
  CHECK(window.Find(second) == nullptr);
  CHECK(window.Release(second).correlation_id.empty());  // answered before, its place lent again
  CHECK(window.count() == 2);
  REQUIRE(window.Find(first) != nullptr);
  CHECK(window.Release(first).correlation_id == "1");
  CHECK(window.bytes() == 90);
  CHECK(window.HasRoom(0));
  const std::string fourth(window.Add(start + 9, 1, Waiting("4")));
  window.Expire(Add(start + 2, InFlightWindow::kAge));
  CHECK(window.count() == 1);
  CHECK(window.bytes() == 1);
  CHECK(window.NextExpiry() == Add(start + 9, InFlightWindow::kAge));
  CHECK(window.Release(third).correlation_id == "3");  // late, and still known
  window.Expire(window.NextExpiry());
  CHECK(window.empty());
  CHECK(window.bytes() == 0);
  CHECK(window.Release(fourth).correlation_id == "4");
  CHECK(window.Find(fourth) == nullptr);
}

TEST_CASE("the window knows so many aged requests and no more, round after round") {
  InFlightWindow window(RealRng(), 4, 40);
  MonotonicTime now(1000);
  std::vector<std::string> ids;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 4; ++i) ids.emplace_back(window.Add(now, 1, Waiting("w")));
    ids.emplace_back(window.AddUnawaited(Waiting("none")));
    CHECK(window.count() == 4);
    now = Add(now, InFlightWindow::kAge);
    window.Expire(now);
    CHECK(window.empty());
  }
  CHECK(window.places() <= 9);
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK((window.Find(ids[i]) != nullptr) == (i >= ids.size() - 4 - 1 && i != ids.size() - 1));
  }
  // Long ids are bounded by their bytes, and the newest stays.
  const std::string long_one(window.AddUnawaited(Waiting(std::string(41, 'x'))));
  CHECK(window.Find(long_one) != nullptr);
  CHECK(window.Find(ids[ids.size() - 2]) == nullptr);
}

TEST_CASE("the window's ids are nobody's to guess") {
  InFlightWindow window(RealRng(), 4, 100);
  InFlightWindow other(RealRng(), 4, 100);
  const std::string id(window.Add(MonotonicTime(1), 1, Waiting("1")));
  CHECK(other.Add(MonotonicTime(1), 1, Waiting("1")) != id);
  CHECK(other.Find(id) == nullptr);
  std::string bad = id;
  for (size_t i = 0; i < id.size(); ++i) {
    for (const char c : {'0', '1', 'f', 'g', '-', '\0'}) {
      bad[i] = c;
      if (bad != id) CHECK(window.Find(bad) == nullptr);
    }
    bad[i] = id[i];
  }
  for (const auto* text : {"", "1", "ffffffffffffffffffffffff", "-0000001ffffffffffffffff"}) {
    CHECK(window.Find(text) == nullptr);
  }
  CHECK(window.Find(id) != nullptr);
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

TEST_CASE("an aged request weighs what is kept of it, not what it was sent with") {
  InFlightWindow window(RealRng(), 4, 40);
  MonotonicTime now(1000);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::string> ids;
    for (int i = 0; i < 4; ++i) ids.emplace_back(window.Add(now, 30, Waiting("w")));
    now = Add(now, InFlightWindow::kAge);
    window.Expire(now);
    for (const std::string& id : ids) CHECK(window.Find(id) != nullptr);
  }
}

}  // namespace
}  // namespace bascule::api
