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

// FORMAT.md describes both files; the constants and AppendRecord / TakeRecord are its code.
constexpr uint32_t kLogMagic = 0x4d435342;
constexpr uint32_t kSnapshotMagic = 0x4e435342;
constexpr uint32_t kVersion = 1;
constexpr size_t kLogHeaderBytes = 8;
constexpr size_t kRecordHeaderBytes = 24;
constexpr size_t kSnapshotHeaderBytes = 16;
constexpr size_t kMaxCommandBytes = size_t{16} << 20;
constexpr uint64_t kMaxIndex = uint64_t{1} << 62;  // more than there will ever be
constexpr size_t kMaxFileBytes = size_t{1} << 30;

// `durable` = end of what was synced when the record was written.
void AppendRecord(std::string& out, MetadataIndex index, FilePosition durable,
                  std::string_view command) {
  const size_t begin = out.size();
  AppendFixed<uint32_t>(out, 0);
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(command.size()));
  AppendFixed<uint64_t>(out, index.value());
  AppendFixed<uint64_t>(out, durable.value());
  out.append(command);
  wire::PutFixed<uint32_t>(&out[begin], Crc32c(std::string_view(out).substr(begin + 4)));
}

struct Record {
  MetadataIndex index;
  FilePosition durable;
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
  record.durable = FilePosition(GetFixed<uint64_t>(&in[16]));
  record.command = in.substr(kRecordHeaderBytes, length);
  return true;
}

// Whether a sound record behind the bad place `at` says that `at` was synced: then it is damage. A
// torn group may leave sound records behind a missing one too, but those were written before any
// of it was synced.
bool IsDamage(std::string_view bytes, size_t at, MetadataIndex applied) {
  Record record;
  for (size_t i = at + 1; i + kRecordHeaderBytes <= bytes.size(); ++i) {
    if (TakeRecord(bytes.substr(i), record) && record.index > applied &&
        record.durable > FilePosition(at)) {
      return true;
    }
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
  // What was read may stand in the page cache only, and after a failed sync a further one would not
  // bring it to the disk: it is written anew.
  if (log->end_ > FilePosition(kLogHeaderBytes)) log->TakeSnapshot();
  if (!log->degraded_.empty()) return absl::UnavailableError(log->degraded_);
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
  const bool sound = body.size() >= kSnapshotHeaderBytes &&
                     GetFixed<uint32_t>(&body[0]) == kSnapshotMagic &&
                     GetFixed<uint32_t>(body.data() + body.size()) == Crc32c(body) &&
                     GetFixed<uint64_t>(&body[8]) <= kMaxIndex;
  if (!sound) {
    return absl::DataLossError(
        Concat(path, " is damaged; restore the directory ", directory_, " from a backup"));
  }
  if (GetFixed<uint32_t>(&body[4]) != kVersion) {
    return absl::FailedPreconditionError(
        Concat(path, " was written by a newer version of this program"));
  }
  RETURN_IF_ERROR(state_.Restore(body.substr(kSnapshotHeaderBytes)));
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
      if (record.index != applied_ + 1) {
        return absl::DataLossError(
            Concat(JoinPath(directory_, "log"), " has command ", record.index, " after ", applied_,
                   "; restore the directory ", directory_, " from a backup"));
      }
      // The result was the proposer's concern; a command that this version does not know is ours.
      const absl::Status applied = state_.Apply(record.index, record.command);
      if (absl::IsUnimplemented(applied)) return applied;
      applied_ = record.index;
    }
    at += record.bytes;
  }
  end_ = FilePosition(at);
  if (IsDamage(bytes, at, applied_)) {
    return absl::DataLossError(Concat(JoinPath(directory_, "log"), " is damaged at byte ", at,
                                      ", with more records behind; restore the directory ",
                                      directory_, " from a backup"));
  }
  return absl::OkStatus();
}

void LocalMetadataLog::Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) {
  if (!degraded_.empty()) return done(absl::UnavailableError(degraded_));
  queue_.push_back({std::move(command), std::move(done)});
  if (queue_.size() == 1) home_.Post([this] { WriteQueued(); });
}

void LocalMetadataLog::ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) {
  home_.Post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
}

// One write and one sync for everything that was proposed meanwhile.
void LocalMetadataLog::WriteQueued() {
  std::vector<Proposal> proposals = std::exchange(queue_, {});
  if (!degraded_.empty()) {  // since they were queued
    for (Proposal& proposal : proposals) proposal.done(absl::UnavailableError(degraded_));
    return;
  }
  std::string records;
  MetadataIndex index = applied_;
  for (const Proposal& proposal : proposals) AppendRecord(records, ++index, end_, proposal.command);
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
    // Cut off what may have been written, durably, so that "not taken" stays true; and go on when
    // there is space.
    absl::Status cut = file_->Truncate(end_.value());
    if (cut.ok()) cut = file_->Sync();
    if (cut.ok()) return absl::UnavailableError(status.message());
    degraded_ = Concat("the metadata log cannot be written: ", FromAbsl(cut.message()),
                       "; restart the broker");
    LogError(degraded_);
    return absl::InternalError(degraded_);
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

bool LocalMetadataLog::OldLogStands() {
  const auto named = fs_.Open(JoinPath(directory_, "log"), OpenMode::kRead);
  if (!named.ok()) return false;
  const absl::StatusOr<uint64_t> size = (*named)->Size();
  return size.ok() && *size == end_.value() && end_ > FilePosition(kLogHeaderBytes);
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
    // The old log will do as well, as long as it is what its name leads to.
    if (!status.ok() && !OldLogStands())
      degraded_ = Concat("the metadata log cannot be renewed: ", FromAbsl(status.message()),
                         "; restart the broker");
  }
  if (!status.ok()) LogWarning("metadata snapshot failed: ", FromAbsl(status.message()));
}

}  // namespace bascule
