#include "tests/support/unsynced_recovery.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <vector>

#include "tests/support/unsynced_format.h"

namespace bascule {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const std::string& what) {
  throw std::runtime_error("undoing unsynced changes: " + what + ": " + std::strerror(errno));
}

std::string ReadBytes(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct Change {
  UndoRecord record;
  std::string bytes;
};

UndoHeader HeaderOf(const std::string& notes) {
  UndoHeader header{};
  if (notes.size() >= sizeof header) std::memcpy(&header, notes.data(), sizeof header);
  return header;
}

// Oldest first; ends before an incomplete record.
std::vector<Change> ReadChanges(const fs::path& path) {
  std::string notes = ReadBytes(path);
  std::vector<Change> changes;
  if (notes.size() < sizeof(UndoHeader)) return changes;
  const UndoHeader header = HeaderOf(notes);
  size_t at = header.base;
  while (at <= notes.size() && notes.size() - at >= sizeof(UndoRecord)) {
    Change change;
    std::memcpy(&change.record, notes.data() + at, sizeof change.record);
    if (change.record.magic != kUndoMagic)
      throw std::runtime_error(path.string() + " is no undo journal");
    at += sizeof change.record;
    size_t n = change.record.zeros != 0 ? 0 : change.record.length;
    if (notes.size() - at < n) break;
    change.bytes =
        change.record.zeros != 0 ? std::string(change.record.length, '\0') : notes.substr(at, n);
    at += n;
    changes.push_back(std::move(change));
  }
  return changes;
}

void UndoChanges(const fs::path& file, const std::vector<Change>& changes, UnsyncedLoss& loss) {
  int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) Fail(file.string());
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    const UndoRecord& record = change->record;
    ssize_t n =
        ::pwrite(fd, change->bytes.data(), change->bytes.size(), static_cast<off_t>(record.offset));
    if (n != static_cast<ssize_t>(change->bytes.size())) Fail(file.string());
    if (::ftruncate(fd, static_cast<off_t>(record.size)) != 0) Fail(file.string());
    ++loss.changes;
    loss.bytes += change->bytes.size();
  }
  ::close(fd);
}

// What failed syncs have dropped and nobody has written again: the disk's own bytes, by position.
std::map<uint64_t, char> ReadLost(const fs::path& path, const UndoHeader& last) {
  const std::string notes = ReadBytes(path);
  std::map<uint64_t, char> lost;
  for (size_t at = 0; notes.size() - at >= sizeof(uint32_t);) {
    uint32_t magic = 0;
    std::memcpy(&magic, notes.data() + at, sizeof magic);
    const bool rewritten = magic == kRewrittenMagic;
    if (notes.size() - at < (rewritten ? sizeof(RewrittenRecord) : sizeof(UndoRecord))) break;
    if (rewritten) {
      RewrittenRecord record{};
      std::memcpy(&record, notes.data() + at, sizeof record);
      at += sizeof record;
      const bool synced = record.process != last.process || record.mark <= last.confirmd;
      if (!synced) continue;
      lost.erase(lost.lower_bound(record.offset), lost.lower_bound(record.offset + record.length));
      continue;
    }
    if (magic != kUndoMagic) throw std::runtime_error(path.string() + " is of another build");
    UndoRecord record{};
    std::memcpy(&record, notes.data() + at, sizeof record);
    at += sizeof record;
    for (uint64_t i = 0; i < record.length; ++i) {
      lost.emplace(record.offset + i, record.zeros != 0 ? '\0' : notes.at(at + i));
    }
    if (record.zeros == 0) at += record.length;
    const uint64_t begin = std::max(record.offset, record.size);
    for (uint64_t i = 0; i < record.extends; ++i) lost.emplace(begin + i, '\0');
  }
  return lost;
}

void LoseDropped(const fs::path& file, const std::map<uint64_t, char>& lost, UnsyncedLoss& loss) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) Fail(file.string());
  struct stat st {};
  if (::fstat(fd, &st) != 0) Fail(file.string());
  for (const auto& [at, byte] : lost) {
    if (at >= static_cast<uint64_t>(st.st_size)) break;
    if (::pwrite(fd, &byte, 1, static_cast<off_t>(at)) != 1) Fail(file.string());
    ++loss.dropped;
  }
  ::close(fd);
}

// Every file below the two folders that has notes; a file is known by its inode, whatever it is
// called now.
void UndoContents(const fs::path& root, const fs::path& journal, UnsyncedLoss& loss) {
  std::map<std::string, fs::path> files;
  for (const fs::path& folder : {root, journal / "saved"}) {
    if (!fs::exists(folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      struct stat st {};
      if (!entry.is_regular_file() || ::stat(entry.path().c_str(), &st) != 0) continue;
      files[std::to_string(st.st_dev) + "-" + std::to_string(st.st_ino)] = entry.path();
    }
  }
  for (const auto& [name, file] : files) {
    const fs::path undo = journal / (name + ".undo");
    const fs::path dropped = journal / (name + ".lost");
    const UndoHeader last = fs::exists(undo) ? HeaderOf(ReadBytes(undo)) : UndoHeader{};
    if (fs::exists(undo)) UndoChanges(file, ReadChanges(undo), loss);
    if (fs::exists(dropped)) LoseDropped(file, ReadLost(dropped, last), loss);
  }
}

void UndoEntry(const EntryRecord& record, const fs::path& journal) {
  fs::path saved = journal / "saved" / std::to_string(record.saved);
  switch (record.kind) {
    case kEntryCreated:
      fs::remove_all(record.path);
      return;
    case kEntryRemoved:
      if (fs::exists(record.path)) return;  // killed before the removal
      if (record.is_directory != 0) {
        fs::create_directory(record.path);
      } else {
        fs::create_hard_link(saved, record.path);
      }
      return;
    case kEntryRenamed:
      if (fs::exists(record.from)) return;  // killed before the rename
      fs::rename(record.path, record.from);
      if (record.has_saved != 0) fs::create_hard_link(saved, record.path);
      return;
    default:
      throw std::runtime_error("the journal's entries are of another build");
  }
}

void UndoEntries(const fs::path& journal, UnsyncedLoss& loss) {
  std::string notes = ReadBytes(journal / "entries");
  for (size_t i = notes.size() / sizeof(EntryRecord); i > 0; --i) {
    EntryRecord record;
    std::memcpy(&record, notes.data() + (i - 1) * sizeof record, sizeof record);
    if (record.live == 0) continue;
    UndoEntry(record, journal);
    ++loss.entries;
  }
}

}  // namespace

UnsyncedLoss RecoverUnsynced(const std::string& root, const std::string& journal) {
  UnsyncedLoss loss;
  UndoContents(root, journal, loss);
  UndoEntries(journal, loss);
  for (const fs::directory_entry& entry : fs::directory_iterator(journal))
    fs::remove_all(entry.path());
  return loss;
}

}  // namespace bascule
