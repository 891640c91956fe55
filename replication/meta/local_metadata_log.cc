#include "replication/meta/local_metadata_log.h"

#include <utility>

#include "core/base/crc32c.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/wire/coding.h"

namespace bascule {
namespace {

using wire::AppendFixed;
using wire::GetFixed;

// log:      "BSCM" u32, version u32; records: CRC-32C u32 (of all that follows), length u32, index
// u64, command snapshot: "BSCN" u32, version u32, index u64, state, CRC-32C u32 of all before
constexpr uint32_t kLogMagic = 0x4d435342;
constexpr uint32_t kSnapshotMagic = 0x4e435342;
constexpr uint32_t kVersion = 1;
constexpr size_t kLogHeaderBytes = 8;
constexpr size_t kRecordHeaderBytes = 16;
constexpr size_t kMaxCommandBytes = size_t{16} << 20;
constexpr size_t kMaxFileBytes = size_t{1} << 30;

void AppendRecord(std::string& out, MetadataIndex index, std::string_view command) {
  const size_t begin = out.size();
  AppendFixed<uint32_t>(out, 0);
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(command.size()));
  AppendFixed<uint64_t>(out, index.value());
  out.append(command);
  wire::PutFixed<uint32_t>(&out[begin], Crc32c(std::string_view(out).substr(begin + 4)));
}

struct Record {
  MetadataIndex index;
  std::string_view command;
  size_t bytes = 0;
};

bool TakeRecord(std::string_view in, Record& record) {
  if (in.size() < kRecordHeaderBytes) return false;
  const auto length = GetFixed<uint32_t>(&in[4]);
  if (length > kMaxCommandBytes || in.size() < kRecordHeaderBytes + length) return false;
  record.bytes = kRecordHeaderBytes + length;
  if (GetFixed<uint32_t>(&in[0]) != Crc32c(in.substr(4, record.bytes - 4))) return false;
  record.index = MetadataIndex(GetFixed<uint64_t>(&in[8]));
  record.command = in.substr(kRecordHeaderBytes, length);
  return true;
}

// Whether a sound record stands anywhere in `in`: then what precedes it is damage, not a torn tail.
bool HoldsRecord(std::string_view in, MetadataIndex after) {
  Record record;
  for (size_t at = 0; at + kRecordHeaderBytes <= in.size(); ++at) {
    if (TakeRecord(in.substr(at), record) && record.index > after) return true;
  }
  return false;
}

}  // namespace

LocalMetadataLog::LocalMetadataLog(FileSystem& fs, Executor& home, std::string directory,
                                   MetadataState& state)
    : fs_(fs), home_(home), directory_(std::move(directory)), state_(state) {}

absl::StatusOr<std::unique_ptr<LocalMetadataLog>> LocalMetadataLog::Open(FileSystem& fs,
                                                                         Executor& home,
                                                                         std::string directory,
                                                                         MetadataState& state) {
  RETURN_IF_ERROR(fs.CreateDirectories(directory));
  std::unique_ptr<LocalMetadataLog> log(
      new LocalMetadataLog(fs, home, std::move(directory), state));
  RETURN_IF_ERROR(log->LoadSnapshot());
  RETURN_IF_ERROR(log->LoadRecords());
  return log;
}

absl::Status LocalMetadataLog::LoadSnapshot() {
  const std::string path = JoinPath(directory_, "snapshot");
  const auto file = fs_.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const std::string bytes, ReadWhole(**file, kMaxFileBytes));
  const std::string_view body =
      std::string_view(bytes).substr(0, bytes.size() < 4 ? 0 : bytes.size() - 4);
  const bool sound = body.size() >= 16 && GetFixed<uint32_t>(&body[0]) == kSnapshotMagic &&
                     GetFixed<uint32_t>(body.data() + body.size()) == Crc32c(body);
  if (!sound) {
    return absl::DataLossError(
        Concat(path, " is damaged; restore the directory ", directory_, " from a backup"));
  }
  if (GetFixed<uint32_t>(&body[4]) != kVersion) {
    return absl::FailedPreconditionError(
        Concat(path, " was written by a newer version of this program"));
  }
  RETURN_IF_ERROR(state_.Restore(body.substr(16)));
  applied_ = snapshot_index_ = MetadataIndex(GetFixed<uint64_t>(&body[8]));
  return absl::OkStatus();
}

absl::Status LocalMetadataLog::OpenEmptyLog() {
  std::string header;
  AppendFixed<uint32_t>(header, kLogMagic);
  AppendFixed<uint32_t>(header, kVersion);
  const std::string path = JoinPath(directory_, "log");
  RETURN_IF_ERROR(WriteFileAtomically(fs_, path, header));
  ASSIGN_OR_RETURN(file_, fs_.Open(path, OpenMode::kReadWrite));
  end_ = FilePosition(kLogHeaderBytes);
  return absl::OkStatus();
}

absl::Status LocalMetadataLog::LoadRecords() {
  const std::string path = JoinPath(directory_, "log");
  auto file = fs_.Open(path, OpenMode::kReadWrite);
  if (absl::IsNotFound(file.status())) return OpenEmptyLog();
  RETURN_IF_ERROR(file.status());
  file_ = *std::move(file);
  ASSIGN_OR_RETURN(const std::string bytes, ReadWhole(*file_, kMaxFileBytes));
  if (bytes.size() < kLogHeaderBytes || GetFixed<uint32_t>(bytes.data()) != kLogMagic) {
    return absl::DataLossError(Concat(path, " is not a metadata log; restore the directory ",
                                      directory_, " from a backup"));
  }
  if (GetFixed<uint32_t>(&bytes[4]) != kVersion) {
    return absl::FailedPreconditionError(
        Concat(path, " was written by a newer version of this program"));
  }
  RETURN_IF_ERROR(ApplyRecords(bytes));
  if (end_.value() == bytes.size()) return absl::OkStatus();
  LogWarning(path, ": cut a torn tail of ", bytes.size() - end_.value(),
             " bytes; nobody was told that it was stored");
  RETURN_IF_ERROR(file_->Truncate(end_.value()));
  return file_->Sync();
}

absl::Status LocalMetadataLog::ApplyRecords(std::string_view bytes) {
  size_t at = kLogHeaderBytes;
  Record record;
  while (TakeRecord(bytes.substr(at), record)) {
    if (record.index > applied_) {
      // The result was the proposer's concern; a command that this version does not know is ours.
      const absl::Status applied = state_.Apply(record.index, record.command);
      if (absl::IsUnimplemented(applied)) return applied;
      applied_ = record.index;
    }
    at += record.bytes;
  }
  end_ = FilePosition(at);
  if (at < bytes.size() && HoldsRecord(bytes.substr(at + 1), applied_)) {
    return absl::DataLossError(Concat(JoinPath(directory_, "log"), " is damaged at byte ", at,
                                      ", with more records behind; restore the directory ",
                                      directory_, " from a backup"));
  }
  return absl::OkStatus();
}

void LocalMetadataLog::Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) {
  if (!degraded_.empty()) return done(absl::InternalError(degraded_));
  queue_.push_back({std::move(command), std::move(done)});
  if (queue_.size() == 1) home_.Post([this] { WriteQueued(); });
}

void LocalMetadataLog::ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) {
  home_.Post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
}

// One write and one sync for everything that was proposed meanwhile.
void LocalMetadataLog::WriteQueued() {
  std::vector<Proposal> proposals = std::exchange(queue_, {});
  std::string records;
  MetadataIndex index = applied_;
  for (const Proposal& proposal : proposals) AppendRecord(records, ++index, proposal.command);
  const absl::Status written = Write(records);
  for (Proposal& proposal : proposals) {
    if (!written.ok()) {
      proposal.done(written);
      continue;
    }
    ++applied_;
    proposal.done(state_.Apply(applied_, proposal.command));
  }
  if (applied_.value() - snapshot_index_.value() >= kSnapshotEvery) TakeSnapshot();
}

absl::Status LocalMetadataLog::Write(std::string_view records) {
  absl::Status status = file_->WriteAt(end_, records);
  if (!status.ok()) {
    // Nothing is durable yet: cut off what may have been written, and go on when there is space.
    const absl::Status cut = file_->Truncate(end_.value());
    if (!cut.ok())
      degraded_ = Concat("the metadata log cannot be written: ", FromAbsl(cut.message()));
    return absl::UnavailableError(status.message());
  }
  status = file_->Sync();
  if (!status.ok()) {
    // A failed sync is never tried again: what the disk holds is only known after a restart.
    degraded_ = Concat("the metadata log failed to sync: ", FromAbsl(status.message()),
                       "; restart the broker");
    LogError(degraded_);
    return absl::InternalError(degraded_);
  }
  end_ += records.size();
  return absl::OkStatus();
}

void LocalMetadataLog::TakeSnapshot() {
  std::string bytes;
  AppendFixed<uint32_t>(bytes, kSnapshotMagic);
  AppendFixed<uint32_t>(bytes, kVersion);
  AppendFixed<uint64_t>(bytes, applied_.value());
  bytes += state_.Snapshot();
  AppendFixed<uint32_t>(bytes, Crc32c(bytes));
  absl::Status status = WriteFileAtomically(fs_, JoinPath(directory_, "snapshot"), bytes);
  if (status.ok()) {
    snapshot_index_ = applied_;
    status = OpenEmptyLog();
    if (!status.ok())
      degraded_ = Concat("the metadata log cannot be renewed: ", FromAbsl(status.message()));
  }
  if (!status.ok()) LogWarning("metadata snapshot failed: ", FromAbsl(status.message()));
}

}  // namespace bascule
