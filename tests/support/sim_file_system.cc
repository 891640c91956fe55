#include "tests/support/sim_file_system.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace bascule {

class SimFile final : public File {
 public:
  SimFile(SimFileSystem& fs, std::string path, SimNodePtr node, bool writable)
      : fs_(fs),
        path_(std::move(path)),
        node_(std::move(node)),
        writable_(writable),
        process_(fs.process_) {}

  absl::Status WriteAt(FilePosition position, std::string_view data) override {
    RETURN_IF_ERROR(Usable(true));
    return fs_.Write(path_, *node_, position.value(), data);
  }
  absl::StatusOr<size_t> ReadAt(FilePosition position, char* out, size_t n) override {
    RETURN_IF_ERROR(Usable(false));
    return fs_.Read(path_, *node_, position.value(), out, n);
  }
  absl::StatusOr<size_t> ReadAtNoWait(FilePosition position, char* out, size_t n) override {
    RETURN_IF_ERROR(Usable(false));
    if (Chance(fs_.rng_, fs_.faults_.rates.no_wait_unavailable)) {
      return absl::UnavailableError(absl::StrCat("read ", path_, ": not in memory (simulated)"));
    }
    return fs_.Read(path_, *node_, position.value(), out, n);
  }
  absl::Status Sync() override {
    RETURN_IF_ERROR(Usable(false));
    return fs_.Sync(path_, *node_, process_);
  }
  absl::Status Truncate(uint64_t size) override {
    RETURN_IF_ERROR(Usable(true));
    return fs_.Truncate(path_, *node_, size);
  }
  absl::StatusOr<uint64_t> Size() override {
    RETURN_IF_ERROR(Usable(false));
    return node_->content.visible().size();
  }
  absl::Status CheckInPlace() override {
    RETURN_IF_ERROR(Usable(false));
    if (fs_.tree_.Find(path_) == node_) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("look for ", path_, ": it is gone (simulated)"));
  }
  const std::string& path() const override { return path_; }

 private:
  absl::Status Usable(bool for_writing) const {
    if (process_ != fs_.process_) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, ": the process that opened it is dead (simulated)"));
    }
    if (for_writing && !writable_) {
      return absl::InternalError(absl::StrCat("write ", path_, ": opened for reading (simulated)"));
    }
    return absl::OkStatus();
  }

  SimFileSystem& fs_;
  const std::string path_;
  const SimNodePtr node_;
  const bool writable_;
  const uint64_t process_;
};

class SimFileLock final : public FileLock {
 public:
  SimFileLock(SimFileSystem& fs, const SimNode* node)
      : fs_(fs), node_(node), process_(fs.process_) {}
  ~SimFileLock() override {
    if (process_ == fs_.process_) fs_.locked_.erase(node_);
  }

 private:
  SimFileSystem& fs_;
  const SimNode* const node_;
  const uint64_t process_;
};

// --- files ---

uint64_t SimFileSystem::AvailableBytes() const {
  return capacity_bytes_ > used_bytes_ ? capacity_bytes_ - used_bytes_ : 0;
}

void SimFileSystem::CountGone(uint64_t bytes) { used_bytes_ -= std::min(bytes, used_bytes_); }

void SimFileSystem::CountSize(const SimNode& node, uint64_t size_before) {
  // A removed file that is still open counts as gone already.
  if (!node.linked) return;
  const uint64_t size = node.content.visible().size();
  if (size >= size_before) {
    used_bytes_ += size - size_before;
  } else {
    CountGone(size_before - size);
  }
}

absl::Status SimFileSystem::Write(const std::string& path, SimNode& node, uint64_t position,
                                  std::string_view data) {
  const bool power_was_off = faults_.power_is_off();
  absl::Status status = faults_.OnCall(kWrite, path, rng_);
  if (power_was_off) return status;
  // A failed write may have written any first part.
  if (!status.ok()) data = data.substr(0, rng_.Below(data.size() + 1));
  const uint64_t size = node.content.visible().size();
  const uint64_t room = std::max(size, position) + AvailableBytes();
  if (status.ok() && position + data.size() > std::max(size, room)) {
    status = SimError(absl::StatusCode::kResourceExhausted, kWrite, path);
  }
  if (position >= room && position >= size) return status;
  data = data.substr(0, std::min<uint64_t>(data.size(), room - position));
  node.content.Write(position, data);
  CountSize(node, size);
  return status;
}

absl::StatusOr<size_t> SimFileSystem::Read(const std::string& path, SimNode& node,
                                           uint64_t position, char* out, size_t n) {
  RETURN_IF_ERROR(faults_.OnCall(kRead, path, rng_));
  const std::string& bytes = node.content.visible();
  if (position >= bytes.size()) return 0;
  size_t got = std::min<uint64_t>(n, bytes.size() - position);
  if (got > 1 && Chance(rng_, faults_.rates.short_read)) got = Between(rng_, 1, got - 1);
  bytes.copy(out, got, position);
  return got;
}

absl::Status SimFileSystem::Sync(const std::string& path, SimNode& node, uint64_t process) {
  const SimContent::ChangeNumber covered = node.content.change_count();
  const bool power_was_off = faults_.power_is_off();
  absl::Status status = faults_.OnCall(kSync, path, rng_);
  if (power_was_off) return status;
  if (on_sync_ && status.ok()) on_sync_(path);
  if (process != process_) {
    return absl::FailedPreconditionError(
        absl::StrCat("sync ", path, ": the process died in it (simulated)"));
  }
  // When the power goes, the crash that follows decides what is left; else the pages are given up
  // for good.
  if (status.ok() && faults_.power_is_off())
    status = SimError(absl::StatusCode::kInternal, kSync, path);
  if (faults_.power_is_off()) return status;
  if (status.ok()) {
    node.content.SyncThrough(covered);
  } else {
    node.content.FailSyncThrough(covered, rng_);
  }
  return status;
}

absl::Status SimFileSystem::Truncate(const std::string& path, SimNode& node, uint64_t size) {
  RETURN_IF_ERROR(faults_.OnCall(kTruncate, path, rng_));
  const uint64_t before = node.content.visible().size();
  if (size > before && size - before > AvailableBytes()) {
    return SimError(absl::StatusCode::kResourceExhausted, kTruncate, path);
  }
  node.content.Truncate(size);
  CountSize(node, before);
  return absl::OkStatus();
}

// --- names ---

absl::StatusOr<std::unique_ptr<File>> SimFileSystem::Open(const std::string& path, OpenMode mode) {
  RETURN_IF_ERROR(faults_.OnCall(kOpen, path, rng_));
  SimNodePtr node = tree_.Find(path);
  if (node != nullptr && node->is_directory) {
    return absl::InternalError(absl::StrCat("open ", path, ": Is a directory (simulated)"));
  }
  const bool must_exist = mode == OpenMode::kRead || mode == OpenMode::kReadWrite;
  if (node == nullptr && must_exist) return SimError(absl::StatusCode::kNotFound, kOpen, path);
  if (node != nullptr && mode == OpenMode::kCreate) {
    return SimError(absl::StatusCode::kAlreadyExists, kOpen, path);
  }
  if (node == nullptr) {
    std::string name;
    const SimNodePtr parent = tree_.FindParent(path, &name);
    if (parent == nullptr) return SimError(absl::StatusCode::kNotFound, kOpen, path);
    node = std::make_shared<SimNode>(false);
    SimTree::Link(*parent, name, node);
  } else if (mode == OpenMode::kReplace || mode == OpenMode::kReplacePrivate) {
    const uint64_t before = node->content.visible().size();
    node->content.Truncate(0);
    CountSize(*node, before);
  }
  return std::make_unique<SimFile>(*this, path, std::move(node), mode != OpenMode::kRead);
}

absl::Status SimFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::string both = absl::StrCat(from, " to ", to);
  RETURN_IF_ERROR(faults_.OnCall(kRename, both, rng_));
  std::string old_name;
  std::string new_name;
  const SimNodePtr old_parent = tree_.FindParent(from, &old_name);
  const SimNodePtr new_parent = tree_.FindParent(to, &new_name);
  if (old_parent == nullptr || new_parent == nullptr || tree_.Find(from) == nullptr) {
    return SimError(absl::StatusCode::kNotFound, kRename, both);
  }
  if (const SimNodePtr replaced = tree_.Find(to);
      replaced != nullptr && replaced != tree_.Find(from)) {
    if (replaced->is_directory || tree_.Find(from)->is_directory) {
      return absl::InternalError(absl::StrCat("rename ", both, ": Is a directory (simulated)"));
    }
    CountGone(SimTree::UsedBytes(*replaced));
  }
  SimTree::Move(*old_parent, old_name, *new_parent, new_name);
  return absl::OkStatus();
}

absl::Status SimFileSystem::Remove(const std::string& path) {
  RETURN_IF_ERROR(faults_.OnCall(kRemove, path, rng_));
  const SimNodePtr node = tree_.Find(path);
  if (node == nullptr) return SimError(absl::StatusCode::kNotFound, kRemove, path);
  if (node->is_directory) {
    return absl::InternalError(absl::StrCat("remove ", path, ": Is a directory (simulated)"));
  }
  std::string name;
  const SimNodePtr parent = tree_.FindParent(path, &name);
  CountGone(SimTree::UsedBytes(*node));
  SimTree::Unlink(*parent, name);
  return absl::OkStatus();
}

absl::Status SimFileSystem::RemoveTree(const std::string& path) {
  RETURN_IF_ERROR(faults_.OnCall(kRemove, path, rng_));
  std::string name;
  const SimNodePtr node = tree_.Find(path);
  const SimNodePtr parent = tree_.FindParent(path, &name);
  if (node == nullptr || parent == nullptr) return absl::OkStatus();
  CountGone(SimTree::UsedBytes(*node));
  if (node->is_directory) SimTree::UnlinkAll(*node);
  SimTree::Unlink(*parent, name);
  return absl::OkStatus();
}

absl::Status SimFileSystem::CreateDirectories(const std::string& path) {
  RETURN_IF_ERROR(faults_.OnCall(kCreateDirectories, path, rng_));
  std::vector<std::string> missing;
  std::string existing = path;
  SimNodePtr node;
  while ((node = tree_.Find(existing)) == nullptr) {
    missing.push_back(existing);
    existing = ParentPath(existing);
  }
  if (!node->is_directory) {
    return absl::InternalError(
        absl::StrCat("create directory ", path, ": Not a directory (simulated)"));
  }
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    std::string name;
    BASCULE_CHECK(tree_.FindParent(*it, &name) == node);
    node = SimTree::MakeDirectory(*node, name);
  }
  return absl::OkStatus();
}

absl::Status SimFileSystem::SyncDir(const std::string& path) {
  const bool power_was_off = faults_.power_is_off();
  const absl::Status status = faults_.OnCall(kSyncDir, path, rng_);
  const SimNodePtr node = tree_.Find(path);
  if (node == nullptr || !node->is_directory)
    return SimError(absl::StatusCode::kNotFound, kSyncDir, path);
  if (status.ok()) {
    SimTree::SyncDirectory(*node);
  } else if (!power_was_off && !faults_.power_is_off()) {
    SimTree::FailSyncDirectory(*node, rng_);
  }
  return status;
}

absl::StatusOr<std::vector<DirectoryEntry>> SimFileSystem::List(const std::string& path) {
  RETURN_IF_ERROR(faults_.OnCall(kList, path, rng_));
  const SimNodePtr node = tree_.Find(path);
  if (node == nullptr || !node->is_directory)
    return SimError(absl::StatusCode::kNotFound, kList, path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, child] : node->entries) entries.push_back({name, child->is_directory});
  return entries;
}

bool SimFileSystem::Exists(const std::string& path) { return tree_.Find(path) != nullptr; }

absl::StatusOr<DiskSpace> SimFileSystem::Space(const std::string& path) {
  RETURN_IF_ERROR(faults_.OnCall(kSpace, path, rng_));
  if (tree_.Find(path) == nullptr) return SimError(absl::StatusCode::kNotFound, kSpace, path);
  return DiskSpace{AvailableBytes(), capacity_bytes_};
}

absl::StatusOr<std::unique_ptr<FileLock>> SimFileSystem::Lock(const std::string& path) {
  RETURN_IF_ERROR(faults_.OnCall(kLock, path, rng_));
  SimNodePtr node = tree_.Find(path);
  if (node == nullptr) {
    std::string name;
    const SimNodePtr parent = tree_.FindParent(path, &name);
    if (parent == nullptr) return SimError(absl::StatusCode::kNotFound, kLock, path);
    node = std::make_shared<SimNode>(false);
    SimTree::Link(*parent, name, node);
  }
  if (!locked_.emplace(node.get(), node).second) {
    return absl::FailedPreconditionError(
        absl::StrCat("lock ", path, ": another process holds it (simulated)"));
  }
  return std::make_unique<SimFileLock>(*this, node.get());
}

// --- death, damage, inspection ---

void SimFileSystem::Kill() {
  ++process_;
  locked_.clear();
}

void SimFileSystem::Crash(Rng& rng, SimCrash crash) {
  Kill();
  faults_.PowerOn();
  tree_.Crash(crash.entries, crash.unsynced, rng);
  used_bytes_ = tree_.UsedBytes();
}

SimNode& SimFileSystem::ExistingFile(const std::string& path) const {
  const SimNodePtr node = tree_.Find(path);
  BASCULE_CHECK(node != nullptr && !node->is_directory);
  return *node;  // the tree keeps it
}

void SimFileSystem::FlipBit(const std::string& path, uint64_t position, int bit) {
  ExistingFile(path).content.FlipBit(position, bit);
}

void SimFileSystem::TruncateDurably(const std::string& path, uint64_t size) {
  SimNode& node = ExistingFile(path);
  const uint64_t before = node.content.visible().size();
  node.content.CutDurably(size);
  CountSize(node, before);
}

std::string SimFileSystem::VisibleBytes(const std::string& path) const {
  return ExistingFile(path).content.visible();
}

std::string SimFileSystem::DurableBytes(const std::string& path) const {
  return ExistingFile(path).content.durable();
}

bool SimFileSystem::HasUnsyncedBytes(const std::string& path) const {
  const SimContent& content = ExistingFile(path).content;
  return content.visible() != content.durable();
}

}  // namespace bascule
