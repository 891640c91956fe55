// One request that brokers make of the metadata leader, or of each other: everything that is decided about it
// on the way to the leader's log. What becomes a command has its descriptor in a file of its own
// (request_*.cc), which says how the leader judges it and what it proposes; request_list.cc lists all of them.
// Nobody else looks at which request it is, but who carries out those that are no commands.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/base/text.h"
#include "core/env/clock.h"
#include "core/stream/settings.h"
#include "replication/meta/requests/ack_overlap.h"
#include "replication/meta/requests/placement_book.h"
#include "replication/meta/table/command.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::meta {
class Request;
}  // namespace bascule::meta

namespace bascule::metadata {

// What the leader judges requests by.
struct LeaderView {
  const MetaTable& table;
  Clock& clock;
  PlacementBook placements;
  // Given to new streams where their creator left open what binds (core/stream/settings.h).
  StreamSettings defaults;
  // streams.replication.factor, likewise.
  int32_t replication_factor = 0;
  AckOverlap overlap{};
};

struct Verdict {
  absl::Status status;      // refused, unless OK
  bool from_table = false;  // the refusal follows from what is applied here, and may be out of date
  StreamDescription stream;  // that will be made, placed; without a name: none
};
inline Verdict Refuse(absl::Status status) { return {std::move(status), false, {}}; }
inline Verdict RefuseByTable(absl::Status status) { return {std::move(status), true, {}}; }

struct RequestKind {
  int number;  // of its field in Request (requests.proto); never reused
  std::string_view name;
  // Done twice it would do harm: it carries a sequence, and its result is kept.
  bool once;
  // It takes several commits, or waits for a broker: one attempt may use up the asker's time.
  bool patient;

  // --- of what becomes a command; else null ---
  const MetaCommand* command;
  // Requests of one key go one after the other.
  std::string (*key)(const meta::Request& request);
  // Null: Apply judges.
  Verdict (*check)(const LeaderView& view, const meta::Request& request);
  std::string (*encode)(const meta::Request& request, const Verdict& verdict);
};

inline std::string StreamKey(const std::string& stream) { return Concat("stream ", stream); }

std::span<const RequestKind* const> RequestKinds();
// Null: a request of a newer version, or none.
const RequestKind* FindRequest(int number);

// How many replicas each partition has.
int32_t ReplicationOf(const StreamDescription& stream);
// Refuses settings, and commands, that brokers of this cluster may not know yet.
absl::Status CheckLevel(const MetaTable& table, const StreamOverrides& overrides);
absl::Status CheckLevel(const MetaTable& table, const MetaCommand& command);
// `what` needs that level: Unavailable while it is being raised, FailedPrecondition naming who is older.
absl::Status CheckLevel(const MetaTable& table, std::string_view what, uint32_t level);

}  // namespace bascule::metadata
