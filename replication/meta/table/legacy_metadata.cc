#include "replication/meta/table/legacy_metadata.h"

#include "core/base/crc32c.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/wire/coding.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {
namespace {

using wire::GetFixed;

// FORMAT.md describes both files; the constants and TakeRecord are its code.
constexpr uint32_t kLogMagic = 0x4d435342;
constexpr uint32_t kSnapshotMagic = 0x4e435342;
constexpr uint32_t kLegacyVersion = 1;
constexpr size_t kLogHeaderBytes = 8;
constexpr size_t kRecordHeaderBytes = 24;
constexpr size_t kSnapshotHeaderBytes = 16;
constexpr size_t kMaxCommandBytes = size_t{16} << 20;
constexpr uint64_t kMaxIndex = uint64_t{1} << 62;  // more than there will ever be
constexpr size_t kMaxFileBytes = size_t{1} << 30;

struct Record {
  MetadataIndex index;
  FilePosition durable;  // end of what was synced when the record was written
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

absl::Status Newer(const std::string& path) {
  return absl::FailedPreconditionError(
      Concat(path, " was written by a newer version of this program"));
}

class Reader {
 public:
  Reader(FileSystem& fs, const std::string& directory) : fs_(fs), directory_(directory) {}

  absl::StatusOr<LegacyMetadata> Read() {
    ASSIGN_OR_RETURN(const bool snapshot, LoadSnapshot());
    ASSIGN_OR_RETURN(const bool log, LoadLog());
    if (!snapshot && !log)
      return absl::NotFoundError(Concat(directory_, " holds no metadata log of one broker"));
    return LegacyMetadata{applied_, table_.Snapshot()};
  }

 private:
  // false: there is none.
  absl::StatusOr<bool> LoadSnapshot();
  absl::StatusOr<bool> LoadLog();
  absl::Status ApplyRecords(const std::string& path, std::string_view bytes);

  FileSystem& fs_;
  const std::string& directory_;
  MetaTable table_;
  MetadataIndex applied_;
};

absl::StatusOr<bool> Reader::LoadSnapshot() {
  const std::string path = JoinPath(directory_, "snapshot");
  const auto file = fs_.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return false;
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
  if (GetFixed<uint32_t>(&body[4]) != kLegacyVersion) return Newer(path);
  applied_ = MetadataIndex(GetFixed<uint64_t>(&body[8]));
  RETURN_IF_ERROR(table_.Restore(applied_, body.substr(kSnapshotHeaderBytes)));
  return true;
}

absl::StatusOr<bool> Reader::LoadLog() {
  const std::string path = JoinPath(directory_, "log");
  const auto file = fs_.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return false;
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const std::string bytes, ReadWhole(**file, kMaxFileBytes));
  if (bytes.size() < kLogHeaderBytes || GetFixed<uint32_t>(bytes.data()) != kLogMagic) {
    return absl::DataLossError(Concat(path, " is not a metadata log; restore the directory ",
                                      directory_, " from a backup"));
  }
  if (GetFixed<uint32_t>(&bytes[4]) != kLegacyVersion) return Newer(path);
  RETURN_IF_ERROR(ApplyRecords(path, bytes));
  return true;
}

absl::Status Reader::ApplyRecords(const std::string& path, std::string_view bytes) {
  size_t at = kLogHeaderBytes;
  Record record;
  for (; TakeRecord(bytes.substr(at), record); at += record.bytes) {
    if (record.index <= applied_) continue;
    if (record.index != applied_ + 1) {
      return absl::DataLossError(Concat(path, " has command ", record.index, " after ", applied_,
                                        "; restore the directory ", directory_, " from a backup"));
    }
    // The result was the proposer's concern; a command that this version does not know is ours.
    const absl::Status applied = table_.Apply(record.index, record.command).result;
    if (absl::IsUnimplemented(applied)) return applied;
    applied_ = record.index;
  }
  if (IsDamage(bytes, at, applied_)) {
    return absl::DataLossError(Concat(path, " is damaged at byte ", at,
                                      ", with more records behind; restore the directory ",
                                      directory_, " from a backup"));
  }
  if (at < bytes.size()) {
    LogWarning(path, ": ignored a torn tail of ", bytes.size() - at,
               " bytes; nobody was told that it was stored");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LegacyMetadata> ReadLocalMetadata(FileSystem& fs, const std::string& directory) {
  return Reader(fs, directory).Read();
}

}  // namespace bascule::metadata
