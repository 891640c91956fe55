// What a data directory owes the metadata group, and how often it has shown itself there: durable in
// data/registration (FORMAT.md), so that no crash makes a broker claim records that it does not have.
//
//   before each registration, and every kGenerationPeriod   the generation is raised here, durably
//   then                                                    the group is told, and keeps the newest
//   a copy of the directory from before                     names one that the group knows already
//   lost records                                            owed here until the group has it (R6b)
//   how far recovery.points and data/meta had come          with each of these, and every kPositionsPeriod:
//                                                           what was put back beside it is behind it
//
// The directory is raised before the group hears of it, so a crash between the two leaves the directory
// ahead: a gap means nothing, only one that is behind does. On the metadata thread; blocks on the disk.
// Written in place, so that a full disk does not stop it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"
#include "core/env/file_system.h"
#include "replication/peer_transport.h"

namespace bascule::metadata {

// What the rest of the directory has durably, for good: no later start may find less of it. 0 or none: not known.
struct DirectoryPositions {
  uint64_t points = 0;  // sequence of recovery.points
  PeerId member;        // whose term and log these are: another member's say nothing
  uint64_t term = 0;
  MetadataIndex logged;  // committed, and in this member's log
  bool operator==(const DirectoryPositions&) const = default;
};

class RegistrationRecord {
 public:
  // data/registration of `directory`, which exists; a new one when there is none. DataLoss: damaged,
  // with what to do. FailedPrecondition: a newer version wrote it.
  static absl::StatusOr<std::unique_ptr<RegistrationRecord>> Open(FileSystem& fs,
                                                                  const std::string& directory);

  uint64_t generation() const { return now_.generation; }
  // As of the last write of this file.
  const DirectoryPositions& positions() const { return now_.positions; }
  bool owes_all() const { return now_.all; }
  // The incarnation of the process that was the last to begin to tell that all is owed; 0: none has.
  uint64_t told_by() const { return now_.teller; }
  // Of single partitions.
  const std::vector<PartitionKey>& owed() const { return now_.partitions; }
  // Its part in the metadata group is not to be gone on with either: it forgot votes.
  bool must_rejoin() const { return now_.rejoin; }

  // Each is durable when it returns OK; after an error nothing has changed here, and what the disk
  // holds is the one or the other.
  absl::Status Raise(const DirectoryPositions& positions);
  // Without the generation; writes only what is news.
  absl::Status NotePositions(const DirectoryPositions& positions);
  absl::Status OweAll();
  // These beside what is owed already.
  absl::Status Owe(const std::vector<PartitionKey>& lost);
  // A process of this incarnation is about to tell what is owed. Where not all is, nothing is noted.
  absl::Status Telling(uint64_t incarnation);
  // The group knows the generation `known`: this directory is an older copy.
  absl::Status NoteOlder(uint64_t known, bool rejoin);
  absl::Status Rejoined();
  // The group has been told.
  absl::Status Paid();

 private:
  struct Content {
    uint64_t sequence = 0;  // of the write
    uint64_t generation = 0;
    DirectoryPositions positions;
    bool all = false;
    uint64_t teller = 0;  // only of `all`
    bool rejoin = false;
    std::vector<PartitionKey> partitions;
  };
  RegistrationRecord(std::unique_ptr<File> file, Content now)
      : file_(std::move(file)), now_(std::move(now)) {}
  static std::string Encode(const Content& content);
  static absl::StatusOr<Content> Decode(const std::string& path, std::string_view block);
  absl::Status Write(Content next);

  std::unique_ptr<File> file_;
  Content now_;
  bool unsure_ = false;  // the last write failed: the disk may hold what it was to write
};

}  // namespace bascule::metadata
