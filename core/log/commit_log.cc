#include "core/log/commit_log.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::log {
namespace {

uint64_t BytesBetween(const SegmentFooter& flushed, const SegmentFooter& now) {
  const bool same_segment = flushed.base_offset == now.base_offset;
  return now.data_end - (same_segment ? flushed.data_end : FilePosition(kSegmentHeaderBytes));
}

}  // namespace

std::shared_ptr<CommitLog> CommitLog::Create(const LogEnvironment& env, LogOptions options,
                                             RecoveredLog recovered) {
  return std::make_shared<CommitLog>(Private{}, env, std::move(options), std::move(recovered));
}

CommitLog::CommitLog(Private, const LogEnvironment& env, LogOptions options, RecoveredLog recovered)
    : env_(env),
      options_(std::move(options)),
      bounds_(recovered.bounds),
      damaged_(std::move(recovered.damaged)),
      active_file_(std::move(recovered.active_file)),
      last_timestamp_(recovered.last_timestamp),
      active_since_(env_.clock.Monotonic()),
      next_chunk_(limits::kPreallocateMinBytes),
      tail_(env.tail_budget, limits::kTailCacheBytes) {
  for (Segment& segment : recovered.segments) segments_.push_back(std::move(segment));
  flushed_end_ = log_end();
  flushed_facts_ = active().footer;
  zeroed_end_ = FilePosition(std::max(active().file_bytes, active().footer.data_end.value()));
  CheckInvariants();
  CheckChain();
}

bool CommitLog::CanAppend(size_t bytes) const {
  if (cutting_) return false;
  return !preallocating_ || active().footer.data_end + bytes <= preallocating_from_;
}

bool CommitLog::ShouldRoll() const {
  const SegmentFooter& facts = active().footer;
  if (facts.end_offset == facts.base_offset || preallocating_) return false;
  if (facts.data_end.value() >= options_.limits.segment_max_bytes) return true;
  // A clock that was ahead and is right again would say that the segment is from the future: then it
  // is as old as this process knows it to be.
  const Timestamp now = env_.clock.Wall();
  const Timestamp since = active().first_stored();
  const Duration by_clock(since > Timestamp() && since <= now ? now - since : 0);
  const Duration age = std::max(by_clock, Between(active_since_, env_.clock.Monotonic()));
  return options_.limits.segment_max_age.count() > 0 && age >= options_.limits.segment_max_age;
}

void CommitLog::Distrust(const absl::Status& why) {
  if (trust_.ok()) trust_ = why;
}

void CommitLog::WhenAtRest(absl::AnyInvocable<void()> rest) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  if (!busy()) return rest();
  when_at_rest_.push_back(std::move(rest));
}

// The last act of every completion. Whoever waits comes after whoever hears of its outcome.
void CommitLog::EndOfWork() {
  BASCULE_CHECK(env_.shard.OnThisThread());
  if (busy() || when_at_rest_.empty()) return;
  env_.shard.Post([waiting = std::exchange(when_at_rest_, {})]() mutable {
    for (auto& rest : waiting) rest();
  });
}

void CommitLog::RunOnPool(absl::AnyInvocable<void()> work) {
  ++pool_work_;
  env_.disk_pool.Post(
      [self = weak_from_this(), &shard = env_.shard, work = std::move(work)]() mutable {
        work();
        shard.Post([self = std::move(self)] {
          const std::shared_ptr<CommitLog> log = self.lock();
          if (!log) return;
          --log->pool_work_;
          log->EndOfWork();
        });
      });
}

absl::Status CommitLog::Roll() {
  BASCULE_CHECK(env_.shard.OnThisThread());
  RETURN_IF_ERROR(trust_);
  BASCULE_CHECK(!preallocating_);
  BASCULE_CHECK(!cutting_);
  BASCULE_CHECK_GT(active().end(), active().base());  // or the next one would take its name
  Segment next;
  next.footer.base_offset = next.footer.end_offset = log_end();
  next.footer.data_end = FilePosition(kSegmentHeaderBytes);
  next.path = JoinPath(options_.directory, SegmentFileName(log_end()));
  next.has_index = true;
  next.file_bytes = kSegmentHeaderBytes;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, env_.fs.Open(next.path, OpenMode::kReplace));
  const absl::Status header = file->WriteAt(
      FilePosition(0), EncodeSegmentHeader({options_.stream, options_.partition, log_end()}));
  if (!header.ok()) {
    // Brought back by a crash its name would say that this segment ends here, whatever is appended and acked
    // from now on: the next flush makes sure that it is gone.
    dirty_directory_ = true;
    if (const absl::Status removed = env_.fs.Remove(next.path); !removed.ok()) Distrust(removed);
    return header;
  }
  unsealed_.emplace_back(active().base(), active_file_);
  dirty_directory_ = true;
  active_file_ = std::move(file);
  next.open_file = active_file_;
  segments_.push_back(std::move(next));
  zeroed_end_ = FilePosition(kSegmentHeaderBytes);
  next_chunk_ = limits::kPreallocateMinBytes;
  index_saved_ = 0;
  CheckInvariants();
  StartSealing();
  return absl::OkStatus();
}

absl::Status CommitLog::Append(Bytes batch) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  RETURN_IF_ERROR(trust_);
  BASCULE_CHECK(!cutting_);
  wire::BatchHeader header;
  std::string_view payload;
  wire::ParseTrustedBatch(batch.view(), header, payload);
  BASCULE_CHECK_EQ(header.base_offset, log_end());
  BASCULE_CHECK(CanAppend(batch.size()));
  SegmentFooter& facts = active().footer;
  const FilePosition position = facts.data_end;
  if (const absl::Status written = active_file_->WriteAt(position, batch.view()); !written.ok()) {
    // A full disk has taken nothing that a later write does not replace.
    if (!absl::IsResourceExhausted(written)) Distrust(written);
    return written;
  }
  if (facts.end_offset == facts.base_offset) active_since_ = env_.clock.Monotonic();
  NoteBatch(facts, active().index, batch.view(), position);
  active().file_bytes = std::max(active().file_bytes, facts.data_end.value());
  last_timestamp_ = std::max(last_timestamp_, header.max_timestamp);
  tail_.Add(std::move(batch), header.base_offset, header.end());
  CheckInvariants();
  MaybePreallocate();
  return absl::OkStatus();
}

std::vector<EpochStart> CommitLog::Epochs() const {
  std::vector<EpochStart> epochs;
  for (const Segment& segment : segments_) {
    for (const EpochStart& epoch : segment.footer.epochs) {
      if (epochs.empty() || epochs.back().epoch != epoch.epoch) epochs.push_back(epoch);
    }
  }
  return epochs;
}

LeaderEpoch CommitLog::last_epoch() const {
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    if (!segment->footer.epochs.empty()) return segment->footer.epochs.back().epoch;
  }
  return {};
}

std::optional<FlushTicket> CommitLog::TakeFlush() {
  BASCULE_CHECK(env_.shard.OnThisThread());
  if (flushing_ || cutting_ || !dirty() || !trust_.ok()) return std::nullopt;
  FlushTicket ticket;
  // Only what has bytes past the flushed end: the files of other segments may go meanwhile.
  for (const auto& [base, file] : unsealed_) {
    if (segments_[IndexOfSegment(base)].end() > flushed_end_) ticket.files.push_back(file);
  }
  ticket.files.push_back(active_file_);
  if (dirty_directory_) ticket.directory = options_.directory;
  dirty_directory_ = false;
  ticket.end = log_end();
  BASCULE_CHECK_GT(ticket.end, flushed_end_);
  flush_bytes_ =
      std::max(BytesBetween(flushed_facts_, active().footer), flush_bytes_ - flush_bytes_ / 16);
  ticket.poisoned = poisoned_;
  ticket.generation = generation_;
  flushing_facts_ = active().footer;
  flushing_ = true;
  return ticket;
}

absl::Status CommitLog::FlushDone(const FlushTicket& ticket, const absl::Status& status) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  BASCULE_CHECK(flushing_);
  flushing_ = false;
  if (!status.ok()) Distrust(status);
  if (trust_.ok() && ticket.generation == generation_) {
    BASCULE_CHECK_LE(flushed_end_, ticket.end);
    BASCULE_CHECK_LE(ticket.end, log_end());
    flushed_end_ = ticket.end;
    flushed_facts_ = std::move(flushing_facts_);
    BASCULE_CHECK_EQ(flushed_facts_.end_offset, flushed_end_);
    CheckInvariants();
    StartSealing();
  }
  EndOfWork();
  return trust_;
}

RecoveryPoint CommitLog::Point() {
  BASCULE_CHECK(env_.shard.OnThisThread());
  if (anew_) {
    SegmentFooter empty;
    empty.base_offset = empty.end_offset = *anew_;
    empty.data_end = FilePosition(kSegmentHeaderBytes);
    return RecoveryPoint{empty, *anew_};
  }
  SaveIndex();
  return RecoveryPoint{flushed_facts_, bounds_.start};
}

// Only entries of durable batches are saved: those are never cut, so what the file holds stays true
// whatever happens to the log's end.
void CommitLog::SaveIndex() {
  const Segment& segment = active();
  if (flushed_facts_.base_offset != segment.base() || !trust_.ok() || cutting_) return;
  const size_t saved = index_saved_;
  std::string bytes;
  while (index_saved_ < segment.index.size() &&
         segment.index[index_saved_].position < flushed_facts_.data_end) {
    AppendIndexEntry(bytes, segment.index[index_saved_++]);
  }
  if (bytes.empty()) return;
  // Hints for the next start: an error or a loss only makes it slower.
  RunOnPool([&fs = env_.fs, path = JoinPath(options_.directory, IndexFileName(segment.base())),
             at = FilePosition(saved * kIndexEntryBytes), bytes = std::move(bytes)] {
    auto file = fs.Open(path, at == FilePosition(0) ? OpenMode::kReplace : OpenMode::kReadWrite);
    if (file.ok()) (void)(*file)->WriteAt(at, bytes);
  });
}

void CommitLog::StartSealing() {
  if (sealing_ || sealing_failed_ || unsealed_.empty() || !trust_.ok() || cutting_) return;
  const Segment& segment = segments_[IndexOfSegment(unsealed_.front().first)];
  // A footer says that the data before it is durable, so it is written only then.
  if (segment.base() != unsealed_.front().first || flushed_end_ < segment.end()) return;
  sealing_ = true;
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard,
                       file = unsealed_.front().second, footer = segment.footer,
                       index = segment.index]() mutable {
    absl::StatusOr<SegmentFooter> sealed = SealSegment(*file, std::move(footer), index);
    const absl::StatusOr<uint64_t> size = file->Size();
    shard.Post([self = std::move(self), sealed = std::move(sealed), size] {
      if (const std::shared_ptr<CommitLog> log = self.lock()) log->OnSealed(sealed, size);
    });
  });
}

void CommitLog::OnSealed(const absl::StatusOr<SegmentFooter>& sealed,
                         const absl::StatusOr<uint64_t>& size) {
  BASCULE_CHECK(env_.shard.OnThisThread());
  sealing_ = false;
  const Offset base = unsealed_.front().first;
  Segment& segment = segments_[IndexOfSegment(base)];
  BASCULE_CHECK_EQ(segment.base(), base);  // retention waits for the outcome
  if (sealed.ok() && size.ok()) {
    segment.footer = *sealed;
    segment.sealed = true;
    segment.file_bytes = *size;
    unsealed_.pop_front();
    Unlink({JoinPath(options_.directory, IndexFileName(base))});
  } else {
    // Readable as it is: all of its data was durable before. The footer is written anew, whole.
    sealing_failed_ = true;
    const absl::Status& why = sealed.ok() ? size.status() : sealed.status();
    LogWarning("cannot seal ", segment.path, ": ", why.message(), "; it is tried again");
  }
  StartSealing();
  EndOfWork();
}

void CommitLog::MaybePreallocate() {
  if (!options_.preallocate || preallocating_ || !trust_.ok()) return;
  // A large flush gains nothing from blocks made ahead, and would pay for writing them twice. Under
  // load large ones and small ones alternate.
  if (flush_bytes_ > limits::kPreallocateFlushBytes) return;
  const FilePosition data_end = active().footer.data_end;
  if (zeroed_end_ < data_end) zeroed_end_ = data_end;
  if (zeroed_end_ - data_end > next_chunk_ / 2) return;
  if (data_end.value() + next_chunk_ / 2 >= options_.limits.segment_max_bytes) return;
  constexpr uint64_t kPage = 4096;
  const FilePosition from((zeroed_end_.value() + kPage - 1) / kPage * kPage);
  const FilePosition to = from + next_chunk_;
  next_chunk_ = std::min(next_chunk_ * 2, limits::kPreallocateMaxBytes);
  preallocating_ = true;
  preallocating_from_ = from;
  // Through a descriptor of its own: the kernel tells a failed write-back once per descriptor, and
  // the flushes have to hear of it too.
  env_.disk_pool.Post([self = weak_from_this(), &shard = env_.shard, &fs = env_.fs,
                       path = active().path, poisoned = poisoned_, from, to] {
    static const std::string zeros(limits::kPreallocateMinBytes, '\0');
    absl::StatusOr<std::unique_ptr<File>> file = fs.Open(path, OpenMode::kReadWrite);
    absl::Status status = file.status();
    for (FilePosition at = from; at < to && status.ok(); at += zeros.size()) {
      status = (*file)->WriteAt(at, zeros);
    }
    if (status.ok()) {
      status = (*file)->Sync();
      if (!status.ok()) *poisoned = true;
    }
    shard.Post([self, status, poisoned, to] {
      const std::shared_ptr<CommitLog> log = self.lock();
      if (!log) return;
      log->preallocating_ = false;
      // Its pages were not only zeros: what was appended meanwhile went with them.
      if (*poisoned) log->Distrust(status);
      if (status.ok()) {
        log->zeroed_end_ = to;
        log->active().file_bytes = std::max(log->active().file_bytes, to.value());
      }
      if (log->ready_) log->ready_();
      log->EndOfWork();
    });
  });
}

void CommitLog::Unlink(std::vector<std::string> paths) {
  // Durable with the next flush of the directory; until then the next start removes or drops them
  // again. No sync of its own: one that fails would take the entry of a new segment with it, and
  // the flush that waits for that entry would not hear of it.
  dirty_directory_ = true;
  RunOnPool([&fs = env_.fs, paths = std::move(paths)] {
    for (const std::string& path : paths) {
      const absl::Status status = fs.Remove(path);
      if (!status.ok() && !absl::IsNotFound(status))
        LogWarning("cannot remove ", path, ": ", status.message());
    }
  });
}

void CommitLog::Trim() {
  BASCULE_CHECK(env_.shard.OnThisThread());
  const FilePosition data_end = active().footer.data_end;
  if (preallocating_ || cutting_ || !trust_.ok() || active().file_bytes <= data_end.value()) return;
  if (const absl::Status status = active_file_->Truncate(data_end.value()); !status.ok()) return;
  active().file_bytes = data_end.value();
  zeroed_end_ = data_end;
  next_chunk_ = limits::kPreallocateMinBytes;
}

}  // namespace bascule::log
