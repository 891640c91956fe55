// The metadata leader's part of requests about streams and brokers: checked against what is applied
// and what is on its way, placed, proposed, answered with the log's result. Requests about one name
// go one after the other, so that each is checked against the outcome of the one before; different
// names go together. A request that is asked again waits behind itself, and gets the result that
// the table keeps. On the metadata thread.
//
// A refusal that follows from the table (exists, does not exist) is given only after a read
// barrier: a leader that was replaced and does not know it yet must not refuse what is fine by now.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "replication/meta/requests/ack_overlap.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/placement.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/meta_table.h"
#include "replication/metadata_log.h"

namespace bascule {

class StreamRequests final : public RequestTarget {
 public:
  // `table`: what `log` is applied to.
  StreamRequests(Executor& home, Clock& clock, const MetaTable& table)
      : home_(home), clock_(clock), table_(table) {}
  void SetLog(MetadataLog& log) { log_ = &log; }
  // Given to new streams where their creator left open what binds (core/stream/settings.h).
  void SetStreamDefaults(const StreamSettings& defaults) { defaults_ = defaults; }
  // Writes what binds into streams that lack it: an older version made them, or the feature level
  // rose. To be called when leading begins and when the level rises.
  void BindStreams();
  // Brokers that `silent` names (silent, or in trouble) get no new partition while there are others.
  void SetSilence(std::function<bool(const std::string&)> silent) { silent_ = std::move(silent); }
  // Whether a broker can hold so many partitions; its error is the answer to who wants to create
  // them.
  using Capacity = std::function<absl::Status(const std::string& broker, size_t partitions)>;
  void SetCapacity(Capacity capacity) { capacity_ = std::move(capacity); }

  // create, delete, update, raise_epoch, register_broker. Unavailable: not the leader, or the log
  // takes nothing; surely not done. Unknown: it may have been.
  void Execute(const meta::Request& request, Duration timeout, RequestDone done) override;
  // Refuses settings that brokers of this cluster may not know yet.
  absl::Status CheckLevel(const StreamOverrides& overrides) const;

 private:
  struct Work {
    std::string about;  // works about the same go one after the other
    meta::Request request;
    RequestDone done;
    bool binds = false;  // our own: the changes are what the stream lacks when it is its turn
  };
  struct Verdict {
    absl::Status status;       // refused, unless OK
    bool from_table = false;   // it follows from what is applied here
    StreamDescription stream;  // create: placed
  };

  void Enqueue(std::shared_ptr<Work> work);
  void BindNext(const std::string& after);
  void EndBinding();
  bool FillBinding(Work& work) const;
  void Start(std::shared_ptr<Work> work, bool barrier_passed);
  void Propose(std::shared_ptr<Work> work, const Verdict& verdict);
  void Finish(const std::shared_ptr<Work>& work, const absl::Status& status);
  Verdict Check(const meta::Request& request) const;
  Verdict CheckCreate(const meta::CreateStreamRequest& request) const;
  Verdict CheckDelete(const std::string& name) const;
  Verdict CheckRegistration(const meta::RegisterBroker& request) const;
  Verdict CheckUpdate(const meta::UpdateStreamRequest& request) const;
  std::vector<PlacementBroker> Candidates() const;
  void DropSilent(std::vector<PlacementBroker>& candidates) const;
  absl::Status CheckRoom(const StreamDescription& stream) const;
  void Account(const StreamDescription& stream, int32_t sign);

  Executor& home_;
  Clock& clock_;
  const MetaTable& table_;
  MetadataLog* log_ = nullptr;
  StreamSettings defaults_;
  bool binding_ = false;     // BindNext goes through the streams
  bool bind_again_ = false;  // and then once more, a second later
  std::function<bool(const std::string&)> silent_;
  Capacity capacity_;
  size_t waiting_ = 0;
  std::map<std::string, std::deque<std::shared_ptr<Work>>> queues_;  // the first is under way
  size_t pending_streams_ = 0;                                       // proposed
  size_t pending_bytes_ = 0;
  AckOverlap overlap_;
  std::map<std::string, BrokerLoad> pending_;  // of streams that are proposed, by broker
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace bascule
