#include "replication/meta/group/raft_codec.h"

#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/group/raft_message.pb.h"

namespace bascule::raft_group {
namespace {

using raft::Index;
using raft::MessageType;
using raft::NodeId;
using raft::Term;

bool IsKnown(uint32_t type) {
  return type <= static_cast<uint32_t>(MessageType::kPreVoteResponse) &&
         raft::ToText(static_cast<MessageType>(type)) != "unknown";
}

void ToProto(const raft::SnapshotMeta& in, group::SnapshotMeta& out) {
  out.set_index(in.index.value());
  out.set_term(in.term.value());
  for (const NodeId id : in.configuration.voters)
    out.mutable_configuration()->add_voters(id.value());
  for (const NodeId id : in.configuration.learners)
    out.mutable_configuration()->add_learners(id.value());
}

// Sorted and disjoint, whatever was sent.
raft::Configuration FromProto(const group::Configuration& in) {
  raft::Configuration out;
  for (const uint64_t id : in.learners())
    raft::Apply({raft::ConfChangeType::kAddLearner, NodeId(id), ""}, out);
  for (const uint64_t id : in.voters())
    raft::Apply({raft::ConfChangeType::kAddVoter, NodeId(id), ""}, out);
  return out;
}

raft::SnapshotMeta FromProto(const group::SnapshotMeta& in) {
  return {Index(in.index()), Term(in.term()), FromProto(in.configuration())};
}

bool Parse(google::protobuf::MessageLite& message, std::string_view bytes) {
  return bytes.size() <= static_cast<size_t>(INT32_MAX) &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

std::string EncodeRaftMessage(const raft::Message& message) {
  group::RaftMessage out;
  out.set_type(static_cast<uint32_t>(message.type));
  out.set_to(message.to.value());
  out.set_term(message.term.value());
  out.set_log_term(message.log_term.value());
  out.set_index(message.index.value());
  out.set_commit(message.commit.value());
  for (const raft::Entry& entry : message.entries) {
    group::Entry& e = *out.add_entries();
    e.set_index(entry.index.value());
    e.set_term(entry.term.value());
    e.set_type(static_cast<uint32_t>(entry.type));
    e.set_data(entry.data);
  }
  if (message.snapshot) ToProto(*message.snapshot, *out.mutable_snapshot());
  out.set_reject(message.reject);
  out.set_reject_hint(message.reject_hint.value());
  out.set_context(message.context);
  if (message.type == MessageType::kTransferLeader) out.set_on_behalf_of(message.from.value());
  return out.SerializeAsString();
}

absl::StatusOr<raft::Message> DecodeRaftMessage(NodeId from, std::string_view bytes) {
  group::RaftMessage in;
  if (!Parse(in, bytes)) return absl::InvalidArgumentError("a Raft message does not parse");
  if (!IsKnown(in.type())) {
    return absl::InvalidArgumentError(Concat("a Raft message of unknown type ", in.type()));
  }
  raft::Message out;
  out.type = static_cast<MessageType>(in.type());
  out.to = NodeId(in.to());
  // Of a wish for a transfer alone: nobody votes or acknowledges in another's name.
  const bool passed_on = out.type == MessageType::kTransferLeader && in.on_behalf_of() != 0;
  out.from = passed_on ? NodeId(in.on_behalf_of()) : from;
  out.term = Term(in.term());
  out.log_term = Term(in.log_term());
  out.index = Index(in.index());
  out.commit = Index(in.commit());
  for (group::Entry& entry : *in.mutable_entries()) {
    if (entry.type() > static_cast<uint32_t>(raft::EntryType::kConfChange)) {
      return absl::InvalidArgumentError(Concat("a Raft entry of unknown type ", entry.type()));
    }
    out.entries.push_back({Index(entry.index()), Term(entry.term()),
                           static_cast<raft::EntryType>(entry.type()),
                           std::move(*entry.mutable_data())});
  }
  if (in.has_snapshot()) out.snapshot = FromProto(in.snapshot());
  if (out.snapshot && out.snapshot->configuration.Contains(NodeId()))
    return absl::InvalidArgumentError("a Raft snapshot with a member without id");
  out.reject = in.reject();
  out.reject_hint = Index(in.reject_hint());
  out.context = in.context();
  return out;
}

std::string EncodeMemberNames(const MemberNames& names) {
  group::MemberNames out;
  out.set_server_id(names.server_id);
  out.set_address(names.address);
  return out.SerializeAsString();
}

absl::StatusOr<MemberNames> DecodeMemberNames(std::string_view bytes) {
  group::MemberNames in;
  if (!Parse(in, bytes)) return absl::InvalidArgumentError("a member's names do not parse");
  return MemberNames{in.server_id(), in.address()};
}

std::string EncodeSnapshotBody(const MemberBook& members, std::string_view state) {
  group::SnapshotBody out;
  for (const auto& [id, names] : members) {
    group::Member& member = *out.add_members();
    member.set_id(id.value());
    member.mutable_names()->set_server_id(names.server_id);
    member.mutable_names()->set_address(names.address);
  }
  out.set_state(std::string(state));
  return out.SerializeAsString();
}

absl::StatusOr<SnapshotBody> DecodeSnapshotBody(std::string_view bytes) {
  group::SnapshotBody in;
  if (!Parse(in, bytes)) return absl::DataLossError("a metadata snapshot does not parse");
  SnapshotBody out;
  for (const group::Member& member : in.members())
    out.members[NodeId(member.id())] = {member.names().server_id(), member.names().address()};
  out.state = std::move(*in.mutable_state());
  return out;
}

}  // namespace bascule::raft_group
