#include "replication/broker/stop_note.h"

#include "core/base/text.h"

namespace bascule::broker {
namespace {

constexpr size_t kMostBytes = 4096;

std::string PathOf(const std::string& directory) { return JoinPath(directory, "running"); }

absl::Status Note(FileSystem& fs, const std::string& directory, const std::string& line) {
  return WriteFileAtomically(fs, PathOf(directory), Concat(line, "\n"));
}

LastStop Meaning(std::string_view note, const std::string& boot_id) {
  while (note.ends_with('\n')) note.remove_suffix(1);
  if (note == "clean") return LastStop::kClean;
  // Damaged, of another boot, or of a process that may have cut what it did not tell of.
  const bool killed = !boot_id.empty() && note == Concat("serving ", boot_id);
  return killed ? LastStop::kKilled : LastStop::kDoubtful;
}

}  // namespace

absl::StatusOr<LastStop> BeginRecovery(FileSystem& fs, const std::string& directory,
                                       const std::string& boot_id) {
  LastStop last = LastStop::kDoubtful;
  const auto file = fs.Open(PathOf(directory), OpenMode::kRead);
  if (file.ok()) {
    ASSIGN_OR_RETURN(const std::string note, ReadWhole(**file, kMostBytes));
    last = Meaning(note, boot_id);
  } else if (!absl::IsNotFound(file.status())) {
    return file.status();
  }
  RETURN_IF_ERROR(Note(fs, directory, Concat("recovering ", boot_id)));
  return last;
}

absl::Status NoteServing(FileSystem& fs, const std::string& directory, const std::string& boot_id) {
  return Note(fs, directory, Concat("serving ", boot_id));
}

absl::Status NoteCleanStop(FileSystem& fs, const std::string& directory) {
  return Note(fs, directory, "clean");
}

}  // namespace bascule::broker
