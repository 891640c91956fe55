#include "replication/meta/store/snapshot_files.h"

#include <algorithm>
#include <utility>

#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/wire/coding.h"

namespace bascule::raft_store {
namespace {

SnapshotName NameOf(const raft::SnapshotMeta& meta) { return {meta.index, meta.term}; }

}  // namespace

absl::StatusOr<Soundness> SnapshotFiles::ReadOne(const SnapshotName& name, raft::SnapshotMeta& meta,
                                                 std::string& state) {
  ASSIGN_OR_RETURN(std::string bytes, files_.Read(ToFileName(name)));
  size_t begin = 0;
  const Soundness judged = DecodeSnapshot(bytes, meta, begin);
  if (judged != Soundness::kSound) return judged;
  if (NameOf(meta) != name) return Soundness::kDamaged;
  bytes.resize(bytes.size() - 4);
  bytes.erase(0, begin);
  state = std::move(bytes);
  return judged;
}

absl::StatusOr<SnapshotFiles::Found> SnapshotFiles::Load(const std::vector<std::string>& names,
                                                         std::vector<std::string>& warnings) {
  std::vector<SnapshotName> found;
  for (const std::string& name : names) {
    if (const auto parsed = ParseSnapshotName(name)) found.push_back(*parsed);
  }
  std::sort(found.begin(), found.end());
  Found newest;
  for (const SnapshotName& name : found) {
    raft::SnapshotMeta meta;
    std::string state;
    ASSIGN_OR_RETURN(const Soundness judged, ReadOne(name, meta, state));
    const std::string path = files_.PathOf(ToFileName(name));
    if (judged == Soundness::kNewer) return WrittenByNewer(path);
    if (judged == Soundness::kDamaged) {
      newest.damaged = name;
      damaged_.push_back(name);
      warnings.push_back(
          Concat(path, " is damaged; it is kept aside until there is a new snapshot"));
      continue;
    }
    kept_.push_back({meta, EncodeSnapshotHeader(meta, 0).size() + state.size() + 4});
    newest = {std::move(meta), std::move(state), std::nullopt};
  }
  return newest;
}

absl::Status SnapshotFiles::Save(const raft::SnapshotMeta& meta, std::string_view state) {
  const SnapshotName name = NameOf(meta);
  const std::string header = EncodeSnapshotHeader(meta, state.size());
  std::string crc;
  wire::AppendFixed<uint32_t>(crc, ExtendCrc32c(Crc32c(header), state));
  RETURN_IF_ERROR(files_.Publish(ToFileName(name), {header, state, crc}));
  std::erase(damaged_, name);
  std::erase_if(kept_, [&](const Kept& kept) { return NameOf(kept.meta) == name; });
  kept_.push_back({meta, header.size() + state.size() + crc.size()});
  return absl::OkStatus();
}

absl::Status SnapshotFiles::Withdraw() {
  RETURN_IF_ERROR(files_.RemoveDurably(ToFileName(NameOf(kept_.back().meta))));
  kept_.pop_back();
  return absl::OkStatus();
}

void SnapshotFiles::RemoveOld() {
  std::erase_if(damaged_,
                [&](const SnapshotName& name) { return files_.Remove(ToFileName(name)).ok(); });
  while (kept_.size() > 2 && files_.Remove(ToFileName(NameOf(kept_.front().meta))).ok()) {
    kept_.erase(kept_.begin());
  }
}

absl::StatusOr<std::pair<raft::SnapshotMeta, std::string>> SnapshotFiles::ReadNewest() {
  if (kept_.empty()) {
    return absl::NotFoundError(Concat("no snapshot in ", files_.path(), " yet"));
  }
  std::pair<raft::SnapshotMeta, std::string> snapshot;
  const SnapshotName name = NameOf(kept_.back().meta);
  ASSIGN_OR_RETURN(const Soundness judged, ReadOne(name, snapshot.first, snapshot.second));
  if (judged != Soundness::kSound) {
    return absl::DataLossError(Concat(files_.PathOf(ToFileName(name)),
                                      " is damaged; the next snapshot will take its place"));
  }
  return snapshot;
}

uint64_t SnapshotFiles::bytes() const {
  uint64_t bytes = 0;
  for (const Kept& kept : kept_) bytes += kept.bytes;
  return bytes;
}

}  // namespace bascule::raft_store
