#include "core/stream/description.h"

#include <doctest/doctest.h>

namespace bascule {
namespace {

StreamSpec Spec() {
  StreamSpec spec;
  spec.name = "orders";
  spec.subject = "orders.new";
  return spec;
}

std::string Refusal(StreamSpec spec, int brokers = 3) {
  const absl::Status status = NormalizeAndValidate(spec, brokers);
  if (status.ok()) return "ok";
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST_CASE("defaults: one partition, one replica, and -1 replicas are all brokers") {
  StreamSpec spec = Spec();
  spec.partitions = 0;
  spec.replication_factor = 0;
  REQUIRE(NormalizeAndValidate(spec, 3).ok());
  CHECK(spec.partitions == 1);
  CHECK(spec.replication_factor == 1);
  spec.replication_factor = -1;
  REQUIRE(NormalizeAndValidate(spec, 3).ok());
  CHECK(spec.replication_factor == 3);
}

TEST_CASE("defaults: a factor that was left open is three of three live brokers, else one") {
  StreamSpec spec = Spec();
  spec.replication_factor = 0;
  for (const int brokers : {1, 2, 3, 4, 9}) {
    CAPTURE(brokers);
    spec.one_replica_unless_set = false;
    CHECK(OpenReplicationFactor(spec, 0, brokers) == (brokers < 3 ? 1 : 3));
    CHECK(OpenReplicationFactor(spec, 2, brokers) == 2);
    CHECK(OpenReplicationFactor(spec, -1, brokers) == -1);
    // By way of Liftbridge's contract.
    spec.one_replica_unless_set = true;
    CHECK(OpenReplicationFactor(spec, 0, brokers) == 1);
    CHECK(OpenReplicationFactor(spec, 2, brokers) == 2);
  }
  StreamSpec all = spec;
  REQUIRE(NormalizeAndValidate(all, 5, -1).ok());
  CHECK(all.replication_factor == 5);
  all = spec;
  CHECK(NormalizeAndValidate(all, 2, 3).message() == "Invalid replicationFactor 3, cluster size 2");
}

TEST_CASE("the texts of the wire contract") {
  StreamSpec spec = Spec();
  spec.name.clear();
  CHECK(Refusal(spec) == "Name cannot be empty");
  spec = Spec();
  for (const char* subject :
       {"", "a b", "a\tb", "a\r", "a\n", ".a", "a.", "a..b", "a.>.b", ">.a"}) {
    spec.subject = subject;
    CHECK(Refusal(spec) == "Subject is invalid");
  }
  for (const char* name : {"__cursors", "__activity"}) {
    spec = Spec();
    spec.name = name;
    CHECK(Refusal(spec) == "Stream is reserved");
    CHECK(IsReservedStream(name));
  }
  CHECK_FALSE(IsReservedStream("__cursor"));
  spec = Spec();
  spec.replication_factor = -2;
  CHECK(Refusal(spec) == "Invalid replicationFactor -2");
  spec.replication_factor = 4;
  CHECK(Refusal(spec) == "Invalid replicationFactor 4, cluster size 3");
  spec.replication_factor = 3;
  CHECK(Refusal(spec) == "ok");
}

TEST_CASE("the order of the checks, each fault hiding those behind it") {
  StreamSpec spec;
  spec.subject = "a b";
  spec.group = "g h";
  spec.partitions = -1;
  spec.replication_factor = 9;
  spec.overrides.min_isr = -1;
  CHECK(Refusal(spec) == "Name cannot be empty");
  spec.name = "__cursors";
  CHECK(Refusal(spec) == "Subject is invalid");
  spec.subject = "a";
  CHECK(Refusal(spec) == "Stream is reserved");
  spec.name = "a";
  CHECK(Refusal(spec).starts_with("Group is invalid"));
  spec.group = "g";
  CHECK(Refusal(spec).starts_with("Invalid partitions -1"));
  spec.partitions = 2;
  CHECK(Refusal(spec).starts_with("Invalid minIsr -1"));
  spec.overrides.min_isr = 0;
  CHECK(Refusal(spec) == "Invalid replicationFactor 9, cluster size 3");
  spec.replication_factor = 1;
  CHECK(Refusal(spec) == "ok");
}

TEST_CASE("names are any text without control characters, up to the limit") {
  StreamSpec spec = Spec();
  for (const char* name : {"a/b", "..", ".a.", "two words",
                           "stra\xc3\x9f"
                           "e",
                           "\xf0\x9f\x8c\x89", "*", ">", "-"}) {
    spec.name = name;
    CHECK(Refusal(spec) == "ok");
  }
  for (const char* name : {"a\nb", "\x7f", "\xc2\x85", "\xff", "\xe2\x82", "\xc0\x80",
                           "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "\xe0\x80\x80"}) {
    spec.name = name;
    CHECK(Refusal(spec).starts_with("Name is invalid: it must be UTF-8"));
  }
  spec.name = std::string("a\0b", 3);
  CHECK(Refusal(spec).starts_with("Name is invalid"));
  spec.name = std::string(limits::kMaxStreamNameBytes, 'n');
  CHECK(Refusal(spec) == "ok");
  spec.name += 'n';
  CHECK(Refusal(spec) == "Name is invalid: it has 256 bytes, at most 255 are allowed");
}

TEST_CASE("partitions: a tail wildcard stands alone, and there is a cap") {
  StreamSpec spec = Spec();
  spec.subject = "a.>";
  CHECK(Refusal(spec) == "ok");
  spec.partitions = 2;
  CHECK(Refusal(spec) == "Subject is invalid");
  spec.subject = "a.*";
  CHECK(Refusal(spec) == "ok");
  spec.partitions = limits::kMaxPartitionsPerStream;
  CHECK(Refusal(spec) == "ok");
  ++spec.partitions;
  CHECK(Refusal(spec) == "Invalid partitions 1001: a stream has 1 to 1000");
}

TEST_CASE("queue groups are words: nothing that could end a line of the NATS protocol") {
  StreamSpec spec = Spec();
  for (const char* group : {"workers", "a.b", "\xc3\xa4"}) {
    spec.group = group;
    CHECK(Refusal(spec) == "ok");
  }
  for (const char* group : {"a b", "a\r\nPUB x 0", "\t", "\xff"}) {
    spec.group = group;
    CHECK(Refusal(spec).starts_with("Group is invalid"));
  }
}

TEST_CASE("what NATS is told of a partition fits into a line of its protocol") {
  const auto refusal = [](size_t subject, size_t group, int32_t partitions) {
    StreamSpec spec = Spec();
    spec.subject = std::string(subject, 's');
    spec.group = std::string(group, 'g');
    spec.partitions = partitions;
    return Refusal(spec);
  };
  // 4096 less a space and a number of 20 digits.
  CHECK(refusal(4075, 0, 1) == "ok");
  CHECK(refusal(4076, 0, 1) ==
        "Subject is invalid: with the suffix of its last partition and the queue group it has 4076 "
        "bytes, NATS takes 4075; shorten the subject or the group");
  CHECK(refusal(4000, 74, 1) == "ok");
  CHECK(refusal(4000, 75, 1).starts_with("Subject is invalid: "));
  CHECK(refusal(4097, 0, 1) == "Subject is invalid: it has 4097 bytes, at most 4096 are allowed");
  CHECK(refusal(75, 4000, 1).starts_with("Subject is invalid: "));
  CHECK(refusal(4071, 0, 1000) == "ok");
  CHECK(refusal(4072, 0, 1000).starts_with("Subject is invalid: "));
  CHECK(refusal(4073, 0, 10) == "ok");
  CHECK(refusal(4074, 0, 10).starts_with("Subject is invalid: "));
}

TEST_CASE("subjects") {
  for (const char* good :
       {"a", "a.b", "*", ">", "*.a", "a.*.b", "a.>", "$SYS.x", "\xc3\xa4.b", "a-b_c/d"}) {
    CHECK(IsValidSubject(good));
  }
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a*", "*a", "a>", ">.", ">.>",
                          "a.>.b", "a\x01", "\xff"}) {
    CHECK_FALSE(IsValidSubject(bad));
  }
  CHECK_FALSE(IsValidSubject(std::string("a\0b", 3)));
  CHECK(IsValidSubject(std::string(limits::kMaxSubjectBytes, 'a')));
  CHECK_FALSE(IsValidSubject(std::string(limits::kMaxSubjectBytes + 1, 'a')));
  CHECK(HasWildcard("a.*"));
  CHECK(HasWildcard(">"));
  CHECK_FALSE(HasWildcard("a.b"));
}

TEST_CASE("matching as NATS does it") {
  struct Case {
    const char* pattern;
    const char* subject;
    bool match;
  };
  for (const Case& c : {Case{"a", "a", true},
                        {"a", "b", false},
                        {"a", "a.b", false},
                        {"a.b", "a", false},
                        {"*", "a", true},
                        {"*", "a.b", false},
                        {"a.*", "a.b", true},
                        {"a.*", "a", false},
                        {"*.b", "a.b", true},
                        {"a.*.c", "a.b.c", true},
                        {"a.*.c", "a.b.d", false},
                        {">", "a", true},
                        {">", "a.b.c", true},
                        {"a.>", "a.b.c", true},
                        {"a.>", "a", false},
                        {"a.>", "b.c", false},
                        {"a.b", "a.bc", false},
                        {"a.bc", "a.b", false}}) {
    CAPTURE(c.pattern);
    CAPTURE(c.subject);
    CHECK(SubjectMatches(c.pattern, c.subject) == c.match);
  }
}

TEST_CASE("the subjects of partitions") {
  CHECK(PartitionSubject("a.*", PartitionId(0)) == "a.*");
  CHECK(PartitionSubject("a.*", PartitionId(12)) == "a.*.12");
}

TEST_CASE("internal subjects") {
  for (const char* prefix : {"bascule.ack", "bascule.ack."}) {
    CHECK(IsInternalSubject("bascule.ack.xyz", prefix));
    CHECK_FALSE(IsInternalSubject("bascule.acks", prefix));
    CHECK_FALSE(IsInternalSubject("bascule.ack", prefix));
    CHECK(IsInternalSubject("_INBOX.a.b", prefix));
    CHECK(IsInternalSubject("$SYS.REQ", prefix));
    CHECK(IsInternalSubject("$JS.API", prefix));
    CHECK_FALSE(IsInternalSubject("_INBOXES.a", prefix));
    CHECK_FALSE(IsInternalSubject("a._INBOX.b", prefix));
  }
  CHECK_FALSE(IsInternalSubject("a.b", ""));
}

}  // namespace
}  // namespace bascule
