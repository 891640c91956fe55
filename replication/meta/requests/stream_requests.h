// The metadata leader's part of requests that become commands: checked against what is applied
// and what is on its way, proposed (request_kind.h says how), answered with the log's result. Requests about
// one name go one after the other, so that each is checked against the outcome of the one before; different
// names go together. A request that is asked again waits behind itself, and gets the result that
// the table keeps. On the metadata thread.
//
// A refusal that follows from the table (exists, does not exist) is given only after a read
// barrier: a leader that was replaced and does not know it yet must not refuse what is fine by now.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/meta_table.h"
#include "replication/metadata_log.h"

namespace bascule::metadata {

class StreamRequests final : public RequestTarget {
 public:
  // `table`: what `log` is applied to.
  StreamRequests(Executor& home, Clock& clock, const MetaTable& table)
      : home_(home), view_{table, clock, PlacementBook(table), {}, 0} {}
  void SetLog(MetadataLog& log) { log_ = &log; }
  void SetStreamDefaults(const StreamSettings& defaults, int32_t replication_factor) {
    view_.defaults = defaults;
    view_.replication_factor = replication_factor;
  }
  PlacementBook& placements() { return view_.placements; }
  // Writes what binds into streams that lack it: an older version made them, or the feature level
  // rose. To be called when leading begins and when the level rises.
  void BindStreams();
  // Requests whose kind names a command. Unavailable: not the leader, or the log takes nothing; surely not
  // done. Unknown: it may have been.
  void Execute(const meta::Request& request, Duration timeout, RequestDone done) override;

 private:
  struct Work {
    const RequestKind& kind;
    std::string key;  // works of one key go one after the other
    meta::Request request;
    RequestDone done;
    bool binds = false;  // our own: the changes are what the stream lacks when it is its turn
  };

  void Enqueue(std::shared_ptr<Work> work);
  void BindNext(const std::string& after);
  void EndBinding();
  bool FillBinding(Work& work) const;
  void Start(std::shared_ptr<Work> work, bool barrier_passed);
  void Propose(std::shared_ptr<Work> work, const Verdict& verdict);
  void Finish(const std::shared_ptr<Work>& work, const absl::Status& status);
  Verdict Check(const Work& work) const;

  Executor& home_;
  LeaderView view_;
  MetadataLog* log_ = nullptr;
  bool binding_ = false;     // BindNext goes through the streams
  bool bind_again_ = false;  // and then once more, a second later
  size_t waiting_ = 0;
  std::map<std::string, std::deque<std::shared_ptr<Work>>> queues_;  // the first is under way
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
