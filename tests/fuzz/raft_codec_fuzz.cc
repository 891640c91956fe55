// What a member of the metadata group decodes: messages, snapshots, membership changes. Whatever it
// is, it is a value or an error; and a message that decodes is stepped into a member, which goes
// on.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "replication/meta/group/raft_codec.h"
#include "replication/meta/raft/raft.h"
#include "replication/meta/table/meta_table.h"

namespace bascule {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// A follower of node 2 in term 3, with two entries behind a snapshot.
std::unique_ptr<raft::Raft> SomeMember() {
  raft::Options options;
  options.id = raft::NodeId(1);
  options.random = [](uint64_t) { return 0; };
  raft::Restored restored;
  restored.hard_state = {raft::Term(3), raft::NodeId(2), raft::Index(6)};
  restored.snapshot = {raft::Index(5),
                       raft::Term(2),
                       {{raft::NodeId(1), raft::NodeId(2), raft::NodeId(3)}, {raft::NodeId(4)}}};
  restored.entries = {{raft::Index(6), raft::Term(3), raft::EntryType::kNormal, "a"},
                      {raft::Index(7), raft::Term(3), raft::EntryType::kNormal, "b"}};
  auto member = raft::Raft::Restore(std::move(options), std::move(restored));
  Require(member.ok());
  return *std::move(member);
}

void Drain(raft::Raft& member) {
  for (int i = 0; i < 8 && member.HasReady(); ++i) {
    member.TakeReady();
    member.Advance();
  }
}

void StepMember(const raft::Message& message) {
  for (const bool leads : {false, true}) {
    const std::unique_ptr<raft::Raft> member = SomeMember();
    Drain(*member);
    if (leads) {
      member->Campaign();
      for (const auto type :
           {raft::MessageType::kPreVoteResponse, raft::MessageType::kVoteResponse}) {
        (void)member->Step(
            {.type = type, .to = raft::NodeId(1), .from = raft::NodeId(3), .term = raft::Term(4)});
      }
      Require(member->role() == raft::Role::kLeader);
    }
    const raft::Index committed = member->log().committed();
    (void)member->Step(message);
    Drain(*member);
    member->Tick();
    Drain(*member);
    Require(member->log().committed() >= committed);
  }
}

}  // namespace
}  // namespace bascule

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bascule;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = raft_group::DecodeRaftMessage(raft::NodeId(2), bytes); message.ok()) {
    const auto again =
        raft_group::DecodeRaftMessage(raft::NodeId(2), raft_group::EncodeRaftMessage(*message));
    Require(again.ok() && *again == *message);
    StepMember(*message);
  }
  if (const auto change = raft::DecodeConfChange(bytes)) {
    Require(raft::DecodeConfChange(raft::EncodeConfChange(*change)) == change);
  }
  (void)raft_group::DecodeMemberNames(bytes);
  if (const auto body = raft_group::DecodeSnapshotBody(bytes); body.ok()) {
    metadata::MetaTable table;
    (void)table.Restore(MetadataIndex(7), body->state);
  }
  return 0;
}
