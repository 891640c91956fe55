#include "replication/meta/cluster/registration_record.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule::metadata {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr size_t kMostOwed = 100;  // partitions whose names have room in a block
constexpr char kMagic[] = "bascule registration ";
constexpr uint64_t kVersion = 2;
// Of what is owed. Version 1 wrote this only at first, and took any other number but 0 for it.
constexpr uint64_t kOwedUntold = 1;
constexpr char kChecksum[] = "crc32c ";

// One line "<name> <number>" of the block.
bool TakeNumber(std::vector<std::string>& lines, std::string_view name, uint64_t& number) {
  if (lines.empty()) return false;
  const std::string line = std::move(lines.back());
  lines.pop_back();
  return line.starts_with(name) && absl::SimpleAtoi(line.substr(name.size()), &number);
}

bool TakePositions(std::vector<std::string>& lines, DirectoryPositions& positions) {
  uint64_t member = 0;
  uint64_t logged = 0;
  const bool taken =
      TakeNumber(lines, "points ", positions.points) && TakeNumber(lines, "member ", member) &&
      TakeNumber(lines, "term ", positions.term) && TakeNumber(lines, "logged ", logged);
  positions.member = PeerId(member);
  positions.logged = MetadataIndex(logged);
  return taken;
}

// The one, further on by what the other knows.
DirectoryPositions Further(const DirectoryPositions& a, const DirectoryPositions& b) {
  DirectoryPositions further = a.member == b.member || b.member == PeerId() ? a : b;
  further.points = std::max(a.points, b.points);
  if (a.member != b.member) return further;
  further.term = std::max(a.term, b.term);
  further.logged = std::max(a.logged, b.logged);
  return further;
}

bool TakeKey(std::vector<std::string>& lines, PartitionKey& key) {
  if (lines.empty()) return false;
  const std::vector<std::string> parts = absl::StrSplit(lines.back(), '/');
  lines.pop_back();
  uint64_t stream = 0;
  int32_t partition = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &stream) ||
      !absl::SimpleAtoi(parts[1], &partition) || partition < 0) {
    return false;
  }
  key = {StreamId(stream), PartitionId(partition)};
  return true;
}

}  // namespace

// Text, so that an operator can read it; newlines behind it up to the block's end.
std::string RegistrationRecord::Encode(const Content& content) {
  const uint64_t owed = !content.all ? 0 : std::max(content.teller, kOwedUntold);
  std::string block = Concat(
      kMagic, kVersion, "\nsequence ", content.sequence, "\ngeneration ", content.generation,
      "\npoints ", content.positions.points, "\nmember ", content.positions.member.value(),
      "\nterm ", content.positions.term, "\nlogged ", content.positions.logged, "\nowes_all ", owed,
      "\nrejoin ", content.rejoin ? 1 : 0, "\nowes ", content.partitions.size(), "\n");
  for (const PartitionKey& key : content.partitions)
    block += Concat(key.stream, "/", key.partition, "\n");
  block += Concat(kChecksum, Crc32c(block), "\n");
  block.resize(kBlockBytes, '\n');
  return block;
}

absl::StatusOr<RegistrationRecord::Content> RegistrationRecord::Decode(const std::string& path,
                                                                       std::string_view block) {
  const absl::Status damaged = absl::DataLossError(Concat(path, " is damaged"));
  const size_t end = block.rfind(kChecksum);
  if (end == std::string_view::npos) return damaged;
  std::vector<std::string> lines = absl::StrSplit(ToAbsl(block), '\n');
  std::reverse(lines.begin(), lines.end());
  uint64_t version = 0;
  uint64_t all = 0;
  uint64_t rejoin = 0;
  uint64_t owed = 0;
  uint64_t checksum = 0;
  Content content;
  if (!TakeNumber(lines, kMagic, version)) return damaged;
  if (version > kVersion) {
    return absl::FailedPreconditionError(Concat(path, " has format ", version,
                                                ", this program knows up to ", kVersion,
                                                "; start the newer program that wrote it"));
  }
  const bool read = TakeNumber(lines, "sequence ", content.sequence) &&
                    TakeNumber(lines, "generation ", content.generation) &&
                    (version < 2 || TakePositions(lines, content.positions)) &&
                    TakeNumber(lines, "owes_all ", all) && TakeNumber(lines, "rejoin ", rejoin) &&
                    TakeNumber(lines, "owes ", owed) && owed <= limits::kOwedPartitions;
  if (!read) return damaged;
  content.all = all != 0;
  content.teller = all > kOwedUntold ? all : 0;
  content.rejoin = rejoin != 0;
  content.partitions.resize(owed);
  for (PartitionKey& key : content.partitions) {
    if (!TakeKey(lines, key)) return damaged;
  }
  if (!TakeNumber(lines, kChecksum, checksum) || checksum != Crc32c(block.substr(0, end)))
    return damaged;
  return content;
}

absl::StatusOr<std::unique_ptr<RegistrationRecord>> RegistrationRecord::Open(
    FileSystem& fs, const std::string& directory) {
  const std::string path = JoinPath(directory, "registration");
  if (!fs.Exists(path)) {
    const std::string block = Encode({});
    RETURN_IF_ERROR(WriteFileAtomically(fs, path, block + block));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, OpenMode::kReadWrite));
  ASSIGN_OR_RETURN(const std::string bytes, ReadWhole(*file, 4 * kBlockBytes));
  Content newest;
  int sound = 0;
  for (const size_t at : {size_t{0}, kBlockBytes}) {
    const auto block = std::string_view(bytes).substr(std::min(at, bytes.size()), kBlockBytes);
    absl::StatusOr<Content> content = Decode(path, block);
    if (absl::IsFailedPrecondition(content.status())) return content.status();
    if (!content.ok()) continue;
    if (sound++ == 0 || content->sequence > newest.sequence) newest = *std::move(content);
  }
  if (sound == 0) {
    return absl::DataLossError(Concat(
        path,
        " is damaged: what this directory owes its cluster is not known. Remove the file: in a "
        "cluster the directory then counts as an older copy, whose records are lost; alone nothing "
        "tells any more that a part of it is one"));
  }
  std::unique_ptr<RegistrationRecord> record(
      new RegistrationRecord(std::move(file), std::move(newest)));
  // Both copies anew: one may be torn, or stand in the page cache only.
  RETURN_IF_ERROR(record->Write(record->now_));
  return record;
}

// First the one copy, then the other: a crash tears at most one, and what a torn one said nobody was
// told yet.
absl::Status RegistrationRecord::Write(Content next) {
  next.sequence = now_.sequence + 1;
  unsure_ = true;
  const std::string block = Encode(next);
  for (const size_t at : {size_t{0}, kBlockBytes}) {
    RETURN_IF_ERROR(file_->WriteAt(FilePosition(at), block));
    RETURN_IF_ERROR(file_->Sync());
  }
  now_ = std::move(next);
  unsure_ = false;
  return absl::OkStatus();
}

absl::Status RegistrationRecord::Raise(const DirectoryPositions& positions) {
  Content next = now_;
  ++next.generation;
  next.positions = Further(now_.positions, positions);
  return Write(std::move(next));
}

absl::Status RegistrationRecord::NotePositions(const DirectoryPositions& positions) {
  Content next = now_;
  next.positions = Further(now_.positions, positions);
  if (next.positions == now_.positions) return absl::OkStatus();
  return Write(std::move(next));
}

absl::Status RegistrationRecord::OweAll() {
  Content next = now_;
  next.all = true;
  next.teller = 0;
  next.partitions.clear();
  return Write(std::move(next));
}

absl::Status RegistrationRecord::Owe(const std::vector<PartitionKey>& lost) {
  if (now_.all) return absl::OkStatus();
  Content next = now_;
  next.partitions.insert(next.partitions.end(), lost.begin(), lost.end());
  std::sort(next.partitions.begin(), next.partitions.end());
  next.partitions.erase(std::unique(next.partitions.begin(), next.partitions.end()),
                        next.partitions.end());
  if (next.partitions == now_.partitions) return absl::OkStatus();
  // More than there is room for: all of them are owed.
  if (next.partitions.size() > kMostOwed) return OweAll();
  return Write(std::move(next));
}

absl::Status RegistrationRecord::Telling(uint64_t incarnation) {
  if (!now_.all) return absl::OkStatus();
  Content next = now_;
  next.teller = incarnation;
  return Write(std::move(next));
}

absl::Status RegistrationRecord::NoteOlder(uint64_t known, bool rejoin) {
  Content next = now_;
  next.generation = std::max(next.generation, known);
  next.all = true;
  next.teller = 0;
  next.partitions.clear();
  next.rejoin = rejoin;
  return Write(std::move(next));
}

absl::Status RegistrationRecord::Rejoined() {
  Content next = now_;
  next.rejoin = false;
  return Write(std::move(next));
}

absl::Status RegistrationRecord::Paid() {
  if (!unsure_ && !now_.all && now_.partitions.empty()) return absl::OkStatus();
  Content next = now_;
  next.all = false;
  next.teller = 0;
  next.partitions.clear();
  return Write(std::move(next));
}

}  // namespace bascule::metadata
