// Segment files made by hand, and a commit log to work with on the simulated disk: what the tests
// of core/log share.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/log/commit_log.h"
#include "core/wire/record.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule::log {

inline constexpr char kLogDirectory[] = "/data/streams/7/0";
inline constexpr StreamId kLogStream{7};

inline std::string LogPath(Offset base) { return JoinPath(kLogDirectory, SegmentFileName(base)); }
inline std::string IndexPath(Offset base) { return JoinPath(kLogDirectory, IndexFileName(base)); }

struct BatchSpec {
  Offset base;
  std::vector<std::string> values;
  Timestamp timestamp{1000};
  LeaderEpoch epoch{1};
  Offset committed{0};
  uint8_t attributes = 0;
};

inline std::string MakeBatch(const BatchSpec& spec) {
  wire::BatchBuilder builder;
  builder.Begin(spec.base, spec.epoch, spec.timestamp, spec.committed, spec.attributes);
  for (const std::string& value : spec.values) {
    std::string body;
    wire::AppendValue(body, value);
    builder.Add(body);
  }
  return builder.Finish();
}

inline std::string GapBatch(Offset base, int64_t count) {
  wire::BatchBuilder builder;
  builder.Begin(base, LeaderEpoch(1), Timestamp(1000), Offset(0), wire::kControl);
  builder.Add(wire::EncodeGapBody({Timestamp(1), Timestamp(2), 3, count}));
  return builder.Finish();
}

inline wire::BatchHeader HeaderOf(std::string_view batch) {
  wire::BatchHeader header;
  std::string_view payload;
  wire::ParseTrustedBatch(batch, header, payload);
  return header;
}

// The bytes of one segment file, batch by batch. Offsets may jump, as compaction leaves them.
class SegmentFile {
 public:
  explicit SegmentFile(Offset base) {
    facts.base_offset = facts.end_offset = base;
    facts.data_end = FilePosition(kSegmentHeaderBytes);
    bytes = EncodeSegmentHeader({kLogStream, PartitionId(0), base});
  }
  SegmentFile& Add(const std::string& batch) {
    starts.emplace_back(bytes.size());
    NoteBatch(facts, index, batch, starts.back());
    bytes += batch;
    return *this;
  }
  // One record per batch, `n` of them, each of about `size` bytes, one nanosecond apart.
  SegmentFile& AddMany(int n, size_t size = 20) {
    for (; n > 0; --n) {
      const Offset at = facts.end_offset;
      Add(MakeBatch({at, {Value(at, size)}, Timestamp(1000 + at.value())}));
    }
    return *this;
  }
  static std::string Value(Offset offset, size_t size = 20) {
    std::string value = Concat("value ", offset);
    value.resize(std::max(size, value.size()), '.');
    return value;
  }
  // With index, footer and tail, as SealSegment leaves it.
  std::string Sealed() {
    facts.index_entries = static_cast<uint32_t>(index.size());
    return bytes + EncodeSealing(facts, index);
  }

  std::string bytes;
  SegmentFooter facts;
  std::vector<IndexEntry> index;
  std::vector<FilePosition> starts;  // of the batches
};

// A file as it is after everything about it was synced.
inline void PutFile(FileSystem& fs, const std::string& path, std::string_view bytes) {
  BASCULE_CHECK(fs.CreateDirectories(ParentPath(path)).ok());
  const auto file = fs.Open(path, OpenMode::kReplace);
  BASCULE_CHECK(file.ok());
  BASCULE_CHECK((*file)->WriteAt(FilePosition(0), bytes).ok());
  BASCULE_CHECK((*file)->Sync().ok());
  BASCULE_CHECK(fs.SyncDir(ParentPath(path)).ok());
}

struct ReadMessage {
  Offset offset;
  Timestamp timestamp;
  std::string value;
  bool operator==(const ReadMessage&) const = default;
};

// The records of whole batches; aborts on bytes that are none.
inline std::vector<ReadMessage> Messages(std::string_view batches) {
  std::vector<ReadMessage> messages;
  while (!batches.empty()) {
    wire::BatchHeader header;
    std::string_view payload, bytes;
    BASCULE_CHECK(wire::ParseBatch(batches, header, payload) == wire::BatchParse::kOk);
    batches.remove_prefix(header.total_bytes());
    wire::RecordCursor cursor(payload);
    wire::RecordView record;
    while (cursor.Next(bytes)) {
      BASCULE_CHECK(wire::ParseRecord(bytes, record));
      messages.push_back({record.offset, record.timestamp, std::string(record.value.value_or(""))});
    }
  }
  return messages;
}

inline RecoveryRequest Request(std::optional<RecoveryPoint> point = std::nullopt) {
  return {kLogDirectory, kLogStream, PartitionId(0), std::move(point), std::nullopt, false};
}

inline RecoveryPoint PointAt(const SegmentFile& file) { return RecoveryPoint{file.facts}; }

// Recovery that has to succeed.
inline RecoveredLog Recover(SimFileSystem& fs, const RecoveryRequest& request = Request()) {
  absl::StatusOr<RecoveredLog> recovered = RecoverLog(fs, request);
  BASCULE_CHECK_EQ(recovered.status().ToString(), "OK");
  return *std::move(recovered);
}

inline Offset End(const RecoveredLog& log) { return log.segments.back().end(); }

// A log with all that it needs. The pool's tasks run when the test lets them.
class LogAtWork {
 public:
  explicit LogAtWork(uint64_t segment_bytes = uint64_t{1} << 30) {
    options.directory = kLogDirectory;
    options.stream = kLogStream;
    options.limits.segment_max_bytes = segment_bytes;
    options.preallocate = false;
  }
  ~LogAtWork() {
    log.reset();
    scheduler.DropAll();
  }
  CommitLog& Open(std::optional<RecoveryPoint> point = std::nullopt) {
    absl::StatusOr<RecoveredLog> recovered = RecoverLog(fs, Request(std::move(point)));
    BASCULE_CHECK(recovered.ok());
    log = CommitLog::Create({fs, clock, shard, pool, budget}, options, *std::move(recovered));
    return *log;
  }
  // One batch with these values at the log's end, now.
  absl::Status Append(const std::vector<std::string>& values) {
    clock.Advance(std::chrono::nanoseconds(1));
    return log->Append(MakeBatch({log->log_end(), values, clock.Wall()}));
  }
  absl::Status AppendMany(int n, size_t size = 20) {
    for (; n > 0; --n) RETURN_IF_ERROR(Append({SegmentFile::Value(log->log_end(), size)}));
    return absl::OkStatus();
  }
  // What FlushDone said; everything that was posted has run.
  absl::Status Flush() {
    auto ticket = log->TakeFlush();
    absl::Status result = absl::NotFoundError("nothing to flush");
    if (!ticket) return result;
    sync.Flush(*std::move(ticket), shard, [&](const FlushTicket& done, const absl::Status& status) {
      result = log->FlushDone(done, status);
    });
    scheduler.RunUntilIdle();
    return result;
  }
  // One step of reading; from the disk where it has to be.
  absl::StatusOr<SegmentReadResult> Read(Offset from, bool reverse, ReadPlace& place,
                                         size_t max_bytes = 1000) {
    ASSIGN_OR_RETURN(CommitLog::ReadStep step,
                     log->Read(from, log->log_end(), reverse, max_bytes, place));
    planned = step.plan.has_value();
    if (step.result) return *std::move(step.result);
    ASSIGN_OR_RETURN(SegmentReadResult result, ReadSegment(fs, *step.plan, ReadWait::kWait));
    log->NoteRead(*step.plan, result, place);
    return result;
  }
  // All messages from `from` to the end.
  absl::StatusOr<std::vector<ReadMessage>> ReadAll(Offset from) {
    std::vector<ReadMessage> all;
    ReadPlace place;
    from = std::max(from, log->log_start());
    while (from < log->log_end()) {
      ASSIGN_OR_RETURN(const SegmentReadResult step, Read(from, false, place));
      for (ReadMessage& message : Messages(step.batches.view())) {
        if (message.offset >= from) all.push_back(std::move(message));
      }
      BASCULE_CHECK(step.next > from);
      from = step.next;
    }
    return all;
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    const auto entries = fs.List(kLogDirectory);
    BASCULE_CHECK(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name != kLogBoundsFileName) names.push_back(entry.name);
    }
    return names;
  }

  SimClock clock;
  SimScheduler scheduler{clock, 1};
  SimExecutor& shard = scheduler.NewExecutor("shard");
  SimExecutor& pool = scheduler.NewExecutor("pool");
  SimFileSystem fs{2};
  TailCacheBudget budget{1 << 20};
  SyncScheduler sync{fs, pool, clock};
  LogOptions options;
  std::shared_ptr<CommitLog> log;
  bool planned = false;  // whether the last Read went to the disk
};

}  // namespace bascule::log
