#include "core/api/partition_survey.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include <atomic>
#include <utility>

#include "core/base/text.h"

namespace bascule::api {
namespace {

class Survey : public std::enable_shared_from_this<Survey> {
 public:
  Survey(std::vector<std::shared_ptr<const CatalogEntry>> entries, SurveyDone done)
      : done_(std::move(done)) {
    streams_.reserve(entries.size());
    for (auto& entry : entries) {
      streams_.push_back({std::move(entry), {}});
      SurveyedStream& stream = streams_.back();
      for (const PartitionDescription& partition : stream.entry->stream.partitions)
        stream.partitions.push_back(StandsElsewhere(partition));
    }
  }

  void Run() {
    for (SurveyedStream& stream : streams_) {
      const auto& ports = stream.entry->partitions;
      for (size_t i = 0; i < stream.partitions.size() && i < ports.size(); ++i) {
        if (ports[i] == nullptr) continue;
        missing_.fetch_add(1);
        ports[i]->Describe([self = shared_from_this(),
                            slot = &stream.partitions[i]](absl::StatusOr<PartitionStatus> status) {
          *slot = std::move(status);
          self->Answered();
        });
      }
    }
    Answered();  // our own place, so that no early answer ends it
  }

 private:
  void Answered() {
    if (missing_.fetch_sub(1) != 1) return;
    keep_ = shared_from_this();
    // The alarm keeps this function for as long as it lives: nothing in it may own the survey.
    alarm_.Set(gpr_now(GPR_CLOCK_MONOTONIC), [this](bool) {
      std::shared_ptr<Survey> last = std::move(keep_);
      std::exchange(done_, nullptr)(std::move(streams_));
    });
  }

  SurveyDone done_;
  std::vector<SurveyedStream> streams_;
  std::atomic<size_t> missing_{1};
  std::shared_ptr<Survey> keep_;  // between the last answer and `done_`
  grpc::Alarm alarm_;
};

}  // namespace

absl::Status StandsElsewhere(const PartitionDescription& partition) {
  return absl::UnavailableError(
      partition.leader.empty()
          ? "this broker holds no replica, and no broker leads the partition"
          : Concat("this broker holds no replica; ask broker ", partition.leader));
}

void SurveyPartitions(std::vector<std::shared_ptr<const CatalogEntry>> entries, SurveyDone done) {
  std::make_shared<Survey>(std::move(entries), std::move(done))->Run();
}

}  // namespace bascule::api
