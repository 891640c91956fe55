// What members of a Raft group say and keep: configurations, and the bytes of a change.
#include <doctest/doctest.h>

#include <string>

#include "replication/meta/raft/types.h"

namespace bascule::raft {
namespace {

std::string Bytes(std::initializer_list<int> bytes) {
  std::string out;
  for (const int byte : bytes) out.push_back(static_cast<char>(byte));
  return out;
}

TEST_CASE("raft types: a membership change is the protobuf that etcd's raftpb.ConfChange is") {
  const ConfChange add{ConfChangeType::kAddVoter, NodeId(300), ""};
  CHECK(EncodeConfChange(add) == Bytes({0x08, 0, 0x10, 0, 0x18, 0xac, 0x02}));
  const ConfChange learner{ConfChangeType::kAddLearner, NodeId(~uint64_t{0}), "b2"};
  const std::string encoded = Bytes({0x08, 0, 0x10, 3, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0x01, 0x22, 2, 'b', '2'});
  CHECK(EncodeConfChange(learner) == encoded);
  for (const ConfChange& change :
       {add, learner, ConfChange{ConfChangeType::kRemove, NodeId(1), "x"}}) {
    CHECK(DecodeConfChange(EncodeConfChange(change)) == change);
  }
  // Proto3 leaves out what is 0; etcd's proto2 writes it. Both are read.
  CHECK(DecodeConfChange(Bytes({0x18, 7})) == ConfChange{ConfChangeType::kAddVoter, NodeId(7), ""});
}

TEST_CASE("raft types: bytes that are no membership change are none") {
  CHECK(!DecodeConfChange(""));
  CHECK(!DecodeConfChange(Bytes({0x18, 0})));                // nobody
  CHECK(!DecodeConfChange(Bytes({0x10, 2, 0x18, 7})));       // a kind that we do not know
  CHECK(!DecodeConfChange(Bytes({0x18, 7, 0x22, 9, 'x'})));  // shorter than it says
  CHECK(!DecodeConfChange(Bytes({0x18, 0x80})));
  CHECK(!DecodeConfChange(std::string(11, '\xff')));
  CHECK(!DecodeConfChange(Bytes({0x18, 7, 0x30, 1})));  // a field that we do not know
  const std::string whole = EncodeConfChange({ConfChangeType::kRemove, NodeId(300), "name"});
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    const auto change = DecodeConfChange(whole.substr(0, cut));
    CHECK((!change || change->context.empty()));  // never more than what is there
  }
}

TEST_CASE("raft types: members are voters or learners, in order, each once") {
  Configuration members;
  for (const uint64_t id : {5, 1, 3}) Apply({ConfChangeType::kAddVoter, NodeId(id), ""}, members);
  Apply({ConfChangeType::kAddVoter, NodeId(3), ""}, members);
  CHECK(members.voters == std::vector{NodeId(1), NodeId(3), NodeId(5)});
  Apply({ConfChangeType::kAddLearner, NodeId(3), ""}, members);  // demoted
  CHECK(members.voters == std::vector{NodeId(1), NodeId(5)});
  CHECK(members.learners == std::vector{NodeId(3)});
  CHECK(members.IsLearner(NodeId(3)));
  CHECK(!members.IsVoter(NodeId(3)));
  Apply({ConfChangeType::kAddVoter, NodeId(3), ""}, members);  // promoted
  CHECK(members.learners.empty());
  Apply({ConfChangeType::kRemove, NodeId(1), ""}, members);
  Apply({ConfChangeType::kRemove, NodeId(9), ""}, members);
  CHECK(members.voters == std::vector{NodeId(3), NodeId(5)});
  CHECK(!members.Contains(NodeId(1)));
}

}  // namespace
}  // namespace bascule::raft
