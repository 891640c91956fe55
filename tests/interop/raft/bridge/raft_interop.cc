#include "tests/interop/raft/bridge/raft_interop.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "raft_interop.pb.h"
#include "replication/meta/raft/raft.h"

using bascule::Concat;
using bascule::FromAbsl;
using bascule::raft::Index;
using bascule::raft::NodeId;
using bascule::raft::Term;

namespace pb = bascule::interop;
namespace raft = bascule::raft;

struct RaftInteropNode {
  std::unique_ptr<raft::Raft> raft;
  std::string bytes;  // of the last answer
  std::string error;
};

namespace {

// Of an assertion. The whole process goes on: one node's fault is a finding about one seed.
struct Broken {
  std::string what;
};

}  // namespace

// In the place of core/base/check.cc, which ends the process.
void bascule::internal::CheckFailed(const char* file, int line, const char* expression,
                                    const std::string& values) {
  throw Broken{Concat("check failed at ", file, ":", line, ": ", expression, values)};
}

namespace {

// --- raftpb and raft::, same fields, same meanings ---

bool Parse(google::protobuf::MessageLite& message, const void* data, size_t size) {
  return message.ParseFromArray(data, static_cast<int>(size));
}

raft::Configuration FromProto(const pb::ConfState& in) {
  raft::Configuration out;
  for (const uint64_t id : in.voters())
    raft::Apply({raft::ConfChangeType::kAddVoter, NodeId(id), ""}, out);
  for (const uint64_t id : in.learners())
    raft::Apply({raft::ConfChangeType::kAddLearner, NodeId(id), ""}, out);
  return out;
}

raft::SnapshotMeta FromProto(const pb::SnapshotMetadata& in) {
  return {Index(in.index()), Term(in.term()), FromProto(in.conf_state())};
}

raft::Entry FromProto(const pb::Entry& in) {
  return {Index(in.index()), Term(in.term()), static_cast<raft::EntryType>(in.type()), in.data()};
}

bool IsKnown(uint32_t type) {
  return type <= static_cast<uint32_t>(raft::MessageType::kPreVoteResponse) &&
         raft::ToText(static_cast<raft::MessageType>(type)) != "unknown";
}

absl::StatusOr<raft::Message> FromProto(const pb::Message& in) {
  if (!IsKnown(in.type()))
    return absl::InvalidArgumentError(Concat("a message of unknown type ", in.type()));
  raft::Message out;
  out.type = static_cast<raft::MessageType>(in.type());
  out.to = NodeId(in.to());
  out.from = NodeId(in.from());
  out.term = Term(in.term());
  out.log_term = Term(in.log_term());
  out.index = Index(in.index());
  for (const pb::Entry& entry : in.entries()) {
    if (entry.type() > static_cast<uint32_t>(raft::EntryType::kConfChange)) {
      return absl::InvalidArgumentError(Concat("an entry of unknown type ", entry.type()));
    }
    out.entries.push_back(FromProto(entry));
  }
  out.commit = Index(in.commit());
  if (in.has_snapshot()) out.snapshot = FromProto(in.snapshot().metadata());
  out.reject = in.reject();
  out.reject_hint = Index(in.reject_hint());
  out.context = in.context();
  return out;
}

void ToProto(const raft::Configuration& in, pb::ConfState& out) {
  for (const NodeId id : in.voters) out.add_voters(id.value());
  for (const NodeId id : in.learners) out.add_learners(id.value());
}

void ToProto(const raft::SnapshotMeta& in, pb::SnapshotMetadata& out) {
  ToProto(in.configuration, *out.mutable_conf_state());
  out.set_index(in.index.value());
  out.set_term(in.term.value());
}

void ToProto(const raft::Entry& in, pb::Entry& out) {
  out.set_type(static_cast<uint32_t>(in.type));
  out.set_term(in.term.value());
  out.set_index(in.index.value());
  out.set_data(in.data);
}

void ToProto(const raft::Message& in, pb::Message& out) {
  out.set_type(static_cast<uint32_t>(in.type));
  out.set_to(in.to.value());
  out.set_from(in.from.value());
  out.set_term(in.term.value());
  out.set_log_term(in.log_term.value());
  out.set_index(in.index.value());
  for (const raft::Entry& entry : in.entries) ToProto(entry, *out.add_entries());
  out.set_commit(in.commit.value());
  if (in.snapshot) ToProto(*in.snapshot, *out.mutable_snapshot()->mutable_metadata());
  out.set_reject(in.reject);
  out.set_reject_hint(in.reject_hint.value());
  out.set_context(in.context);
}

pb::Ready ToProto(const raft::Ready& in, Index commit) {
  pb::Ready out;
  if (in.hard_state) {
    out.mutable_hard_state()->set_term(in.hard_state->term.value());
    out.mutable_hard_state()->set_vote(in.hard_state->vote.value());
    out.mutable_hard_state()->set_commit(in.hard_state->commit.value());
  }
  if (in.snapshot) ToProto(*in.snapshot, *out.mutable_snapshot());
  for (const raft::Entry& entry : in.entries) ToProto(entry, *out.add_entries());
  for (const raft::Message& message : in.early) ToProto(message, *out.add_early());
  for (const raft::Message& message : in.messages) ToProto(message, *out.add_messages());
  for (const raft::Entry& entry : in.committed) ToProto(entry, *out.add_committed());
  for (const raft::ReadState& read : in.reads) {
    pb::ReadState& state = *out.add_reads();
    state.set_index(read.index.value());
    state.set_context(read.context);
  }
  for (const std::string& context : in.failed_reads) out.add_failed_reads(context);
  out.set_commit(commit.value());
  return out;
}

// --- the interface ---

// Sebastiano Vigna's splitmix64; the bias of the remainder is of no matter for tens of ticks.
std::function<uint64_t(uint64_t)> Random(uint64_t seed) {
  return [state = seed](uint64_t bound) mutable {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound;
  };
}

absl::StatusOr<std::unique_ptr<raft::Raft>> Restore(const void* data, size_t size) {
  pb::Start start;
  if (!Parse(start, data, size)) return absl::InvalidArgumentError("a Start that does not parse");
  raft::Options options;
  options.id = NodeId(start.id());
  options.election_ticks = static_cast<int>(start.election_ticks());
  options.heartbeat_ticks = static_cast<int>(start.heartbeat_ticks());
  options.max_inflight = start.max_inflight();
  options.max_append_bytes = start.max_append_bytes();
  options.max_uncommitted_bytes = start.max_uncommitted_bytes();
  options.max_committed_bytes = start.max_committed_bytes();
  options.max_pending_reads = start.max_pending_reads();
  options.snapshot_retry_ticks = static_cast<int>(start.snapshot_retry_ticks());
  options.random = Random(start.seed());
  raft::Restored restored;
  const pb::HardState& hard = start.hard_state();
  restored.hard_state = {Term(hard.term()), NodeId(hard.vote()), Index(hard.commit())};
  restored.snapshot = FromProto(start.snapshot());
  for (const pb::Entry& entry : start.entries()) restored.entries.push_back(FromProto(entry));
  return raft::Raft::Restore(std::move(options), std::move(restored));
}

template <typename Call>
int Guarded(RaftInteropNode* node, Call call) {
  try {
    const absl::Status status = call(*node->raft);
    if (!status.ok()) node->error = std::string(FromAbsl(status.message()));
    return static_cast<int>(status.code());
  } catch (const Broken& broken) {
    node->error = broken.what;
    return RAFT_INTEROP_BROKEN;
  }
}

RaftInteropNode* RestoreNode(const void* start, size_t size, RaftInteropBytes* error) {
  static std::string text;
  try {
    absl::StatusOr<std::unique_ptr<raft::Raft>> restored = Restore(start, size);
    if (restored.ok()) return new RaftInteropNode{*std::move(restored), "", ""};
    text = std::string(FromAbsl(restored.status().message()));
  } catch (const Broken& broken) {
    text = broken.what;
  }
  *error = {text.data(), text.size()};
  return nullptr;
}

RaftInteropBytes Answer(RaftInteropNode* node, const google::protobuf::MessageLite& message) {
  node->bytes = message.SerializeAsString();
  return {node->bytes.data(), node->bytes.size()};
}

int Tick(RaftInteropNode* node) {
  return Guarded(node, [](raft::Raft& raft) {
    raft.Tick();
    return absl::OkStatus();
  });
}

int Step(RaftInteropNode* node, const void* data, size_t size) {
  return Guarded(node, [&](raft::Raft& raft) {
    pb::Message in;
    if (!Parse(in, data, size)) return absl::InvalidArgumentError("a message that does not parse");
    absl::StatusOr<raft::Message> message = FromProto(in);
    return message.ok() ? raft.Step(*std::move(message)) : message.status();
  });
}

int TakeReady(RaftInteropNode* node, RaftInteropBytes* ready) {
  return Guarded(node, [&](raft::Raft& raft) {
    const raft::Ready taken = raft.TakeReady();
    *ready = Answer(node, ToProto(taken, raft.log().committed()));
    return absl::OkStatus();
  });
}

int Advance(RaftInteropNode* node) {
  return Guarded(node, [](raft::Raft& raft) {
    raft.Advance();
    return absl::OkStatus();
  });
}

int Propose(RaftInteropNode* node, const void* data, size_t size) {
  return Guarded(node, [&](raft::Raft& raft) {
    return raft.Propose(std::string(static_cast<const char*>(data), size)).status();
  });
}

int ProposeConfChange(RaftInteropNode* node, const void* data, size_t size) {
  return Guarded(node, [&](raft::Raft& raft) {
    const auto change = raft::DecodeConfChange({static_cast<const char*>(data), size});
    if (!change) return absl::InvalidArgumentError("no ConfChange that we know");
    return raft.ProposeConfChange(*change).status();
  });
}

int ReadIndex(RaftInteropNode* node, const void* context, size_t size) {
  return Guarded(node, [&](raft::Raft& raft) {
    return raft.ReadIndex(std::string(static_cast<const char*>(context), size));
  });
}

int Transfer(RaftInteropNode* node, uint64_t to) {
  return Guarded(node, [&](raft::Raft& raft) { return raft.TransferLeadership(NodeId(to)); });
}

int Campaign(RaftInteropNode* node) {
  return Guarded(node, [](raft::Raft& raft) {
    raft.Campaign();
    return absl::OkStatus();
  });
}

int Compact(RaftInteropNode* node, uint64_t through, const void* data, size_t size) {
  return Guarded(node, [&](raft::Raft& raft) {
    pb::SnapshotMetadata snapshot;
    if (!Parse(snapshot, data, size)) return absl::InvalidArgumentError("no SnapshotMetadata");
    raft.Compact(Index(through), FromProto(snapshot));
    return absl::OkStatus();
  });
}

int ReportUnreachable(RaftInteropNode* node, uint64_t id) {
  return Guarded(node, [&](raft::Raft& raft) {
    raft.ReportUnreachable(NodeId(id));
    return absl::OkStatus();
  });
}

int ReportSnapshot(RaftInteropNode* node, uint64_t id, int arrived) {
  return Guarded(node, [&](raft::Raft& raft) {
    raft.ReportSnapshot(NodeId(id), arrived != 0);
    return absl::OkStatus();
  });
}

void ReadStatus(RaftInteropNode* node, RaftInteropStatus* status) {
  const raft::Raft& raft = *node->raft;
  status->leader = raft.leader().value();
  status->term = raft.term().value();
  status->commit = raft.log().committed().value();
  status->applied = raft.applied().value();
  status->last = raft.log().last().value();
  status->role = static_cast<int>(raft.role());
  status->has_ready = raft.HasReady() ? 1 : 0;
}

void ReadConfiguration(RaftInteropNode* node, RaftInteropBytes* configuration) {
  pb::ConfState out;
  ToProto(node->raft->configuration(), out);
  *configuration = Answer(node, out);
}

RaftInteropBytes ReadError(RaftInteropNode* node) {
  return {node->error.data(), node->error.size()};
}

}  // namespace

const RaftInteropApi* raft_interop_api(void) {
  static const RaftInteropApi api = {
      .restore = RestoreNode,
      .destroy = [](RaftInteropNode* node) { delete node; },
      .error = ReadError,
      .tick = Tick,
      .step = Step,
      .take_ready = TakeReady,
      .advance = Advance,
      .propose = Propose,
      .propose_conf_change = ProposeConfChange,
      .read_index = ReadIndex,
      .transfer = Transfer,
      .campaign = Campaign,
      .compact = Compact,
      .report_unreachable = ReportUnreachable,
      .report_snapshot = ReportSnapshot,
      .status = ReadStatus,
      .configuration = ReadConfiguration,
  };
  return &api;
}
