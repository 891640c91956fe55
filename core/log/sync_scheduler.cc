#include "core/log/sync_scheduler.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule::log {
namespace {

absl::Status Vanished(const File& file, const absl::Status& why) {
  return absl::Status(why.code(), Concat("the directory ", ParentPath(file.path()),
                                         " was changed under the running broker: ", why.message()));
}

absl::Status SyncAll(FileSystem& fs, const FlushTicket& ticket) {
  for (const std::shared_ptr<File>& file : ticket.files) {
    RETURN_IF_ERROR(file->Sync());
    // A sync of a file that has lost its name succeeds, and keeps nothing.
    if (const absl::Status here = file->CheckInPlace(); !here.ok()) return Vanished(*file, here);
  }
  if (ticket.poisoned && *ticket.poisoned)
    return absl::InternalError("an earlier sync of the log has failed");
  if (!ticket.directory.empty()) RETURN_IF_ERROR(fs.SyncDir(ticket.directory));
  return absl::OkStatus();
}

// One of a number, for as long as it lives: also when its task is dropped with its executor.
class Counted {
 public:
  Counted(std::shared_ptr<void> owner, std::atomic<size_t>& number)
      : owner_(std::move(owner)), number_(&number) {
    ++*number_;
  }
  ~Counted() {
    if (owner_ != nullptr) --*number_;
  }
  Counted(Counted&&) = default;
  Counted& operator=(Counted&&) = delete;

 private:
  std::shared_ptr<void> owner_;  // of `number_`; null: moved away
  std::atomic<size_t>* number_;
};

struct Request {
  FlushTicket ticket;
  SyncScheduler::Done done;
};

}  // namespace

// The flushes of one shard: how many. They themselves belong to the tasks that are posted for them, and go with
// them. On the shard's thread only, but where it says otherwise.
class SyncScheduler::Home : public std::enable_shared_from_this<Home> {
 public:
  Home(Executor& executor, FileSystem& fs, Executor& pool, Clock& clock)
      : executor_(executor), fs_(fs), pool_(pool), clock_(clock) {}

  void Flush(FlushTicket ticket, Done done) {
    BASCULE_CHECK(executor_.OnThisThread());
    // Behind the present task: it may have more to flush, of other logs.
    executor_.Post([this, asked = Counted(shared_from_this(), asked_),
                    request = Request{std::move(ticket), std::move(done)}]() mutable {
      if (asked_ == 1 && under_way_ == 0 && executor_.Idle() && clock_.Monotonic() >= wary_until_) {
        SyncInPlace(std::move(request));
      } else {
        SyncInPool(std::move(request));
      }
    });
  }
  uint64_t in_place() const { return in_place_.load(std::memory_order_relaxed); }  // any thread

 private:
  void SyncInPlace(Request request) {
    const MonotonicTime begun = clock_.Monotonic();
    absl::Status status = SyncAll(fs_, request.ticket);
    const MonotonicTime ended = clock_.Monotonic();
    if (Between(begun, ended) > limits::kSyncInPlaceMax)
      wary_until_ = Add(ended, limits::kSyncWaryFor);
    in_place_.fetch_add(1, std::memory_order_relaxed);
    request.done(std::move(request.ticket), std::move(status));
  }

  void SyncInPool(Request request) {
    pool_.Post([this, under_way = Counted(shared_from_this(), under_way_),
                request = std::move(request)]() mutable {
      absl::Status status = SyncAll(fs_, request.ticket);
      executor_.Post([under_way = std::move(under_way), request = std::move(request),
                      status = std::move(status)]() mutable {
        request.done(std::move(request.ticket), std::move(status));
      });
    });
  }

  Executor& executor_;
  FileSystem& fs_;
  Executor& pool_;
  Clock& clock_;
  std::atomic<size_t> asked_{0};      // since the shard's present task began
  std::atomic<size_t> under_way_{0};  // in the pool; a stopping shard's last go on other threads
  MonotonicTime wary_until_;          // a sync in place took long
  std::atomic<uint64_t> in_place_{0};
};

SyncScheduler::SyncScheduler(FileSystem& fs, Executor& pool, Clock& clock)
    : fs_(fs), pool_(pool), clock_(clock) {}

SyncScheduler::~SyncScheduler() = default;

void SyncScheduler::Flush(FlushTicket ticket, Executor& home, Done done) {
  BASCULE_CHECK(!ticket.files.empty());
  std::shared_ptr<Home> found;
  {
    const absl::MutexLock lock(&mutex_);
    std::shared_ptr<Home>& known = homes_[&home];
    if (known == nullptr) known = std::make_shared<Home>(home, fs_, pool_, clock_);
    found = known;
  }
  found->Flush(std::move(ticket), std::move(done));
}

uint64_t SyncScheduler::in_place() const {
  const absl::MutexLock lock(&mutex_);
  uint64_t count = 0;
  for (const auto& [executor, home] : homes_) count += home->in_place();
  return count;
}

}  // namespace bascule::log
