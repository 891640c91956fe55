#include "tests/support/sim_directory.h"

#include <set>
#include <string_view>
#include <utility>

#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return parts;
}

SimNodePtr Walk(SimNodePtr node, const std::vector<std::string>& parts, size_t depth) {
  for (size_t i = 0; i < depth; ++i) {
    const auto it = node->entries.find(parts[i]);
    if (it == node->entries.end()) return nullptr;
    node = it->second;
    if (!node->is_directory && i + 1 < depth) return nullptr;
  }
  return node;
}

// False when the change has to wait: the old name of a moved file, while the new one is not on
// disk.
bool ApplyOnDisk(const SimEntryChange& change, SimNode& directory) {
  if (change.moved != nullptr) {
    if (!*change.on_disk) return false;
    const auto it = directory.durable_entries.find(change.name);
    // The name may have been used again since.
    if (it != directory.durable_entries.end() && it->second == change.moved)
      directory.durable_entries.erase(it);
    return true;
  }
  if (change.target == nullptr) {
    directory.durable_entries.erase(change.name);
    return true;
  }
  directory.durable_entries[change.name] = change.target;
  if (!change.old_name.empty()) directory.durable_entries.erase(change.old_name);
  if (change.on_disk != nullptr) *change.on_disk = true;
  return true;
}

// Visits each node once, children in the order of their names, so that a seed always means the same
// crash.
template <typename Visit>
void ForEachNode(const SimNodePtr& node, bool with_durable, std::set<const SimNode*>& seen,
                 Visit& visit) {
  if (!seen.insert(node.get()).second) return;
  visit(node);
  for (const auto& [name, child] : node->entries) ForEachNode(child, with_durable, seen, visit);
  if (!with_durable) return;
  for (const auto& [name, child] : node->durable_entries)
    ForEachNode(child, with_durable, seen, visit);
}

size_t SurvivingChanges(EntryFate fate, size_t pending, Rng& rng) {
  switch (fate) {
    case EntryFate::kLost:
      return 0;
    case EntryFate::kSome:
      return pending == 0 ? 0 : Between(rng, 0, pending);
    case EntryFate::kKept:
      break;
  }
  return pending;
}

}  // namespace

SimNodePtr SimTree::Find(const std::string& path) const {
  const std::vector<std::string> parts = Split(path);
  return Walk(root_, parts, parts.size());
}

SimNodePtr SimTree::FindParent(const std::string& path, std::string* name) const {
  const std::vector<std::string> parts = Split(path);
  if (parts.empty()) return nullptr;
  *name = parts.back();
  SimNodePtr parent = Walk(root_, parts, parts.size() - 1);
  return parent != nullptr && parent->is_directory ? parent : nullptr;
}

void SimTree::Link(SimNode& directory, const std::string& name, SimNodePtr target) {
  directory.pending.push_back({name, target, "", nullptr, nullptr});
  directory.entries[name] = std::move(target);
}

void SimTree::Unlink(SimNode& directory, const std::string& name) {
  directory.pending.push_back({name, nullptr, "", nullptr, nullptr});
  directory.entries.at(name)->linked = false;
  directory.entries.erase(name);
}

void SimTree::Move(SimNode& from, const std::string& old_name, SimNode& to,
                   const std::string& new_name) {
  SimNodePtr node = from.entries.at(old_name);
  if (&from == &to && old_name == new_name) return;
  from.entries.erase(old_name);
  if (SimNodePtr& replaced = to.entries[new_name]; replaced != nullptr) replaced->linked = false;
  to.entries[new_name] = node;
  if (&from == &to) {
    to.pending.push_back({new_name, node, old_name, nullptr, nullptr});
    return;
  }
  const auto on_disk = std::make_shared<bool>(false);
  to.pending.push_back({new_name, node, "", nullptr, on_disk});
  from.pending.push_back({old_name, nullptr, "", node, on_disk});
}

SimNodePtr SimTree::MakeDirectory(SimNode& parent, const std::string& name) {
  auto directory = std::make_shared<SimNode>(true);
  parent.entries[name] = directory;
  // What is pending under this name is older than the directory and must not be applied over it.
  std::erase_if(parent.pending,
                [&](const SimEntryChange& c) { return c.name == name && c.moved == nullptr; });
  parent.durable_entries[name] = directory;
  return directory;
}

void SimTree::UnlinkAll(SimNode& directory) {
  while (!directory.entries.empty()) {
    const std::string name = directory.entries.begin()->first;
    const SimNodePtr child = directory.entries.begin()->second;
    if (child->is_directory) UnlinkAll(*child);
    Unlink(directory, name);
  }
}

void SimTree::SyncDirectory(SimNode& directory) {
  std::erase_if(directory.pending,
                [&](const SimEntryChange& change) { return ApplyOnDisk(change, directory); });
}

void SimTree::FailSyncDirectory(SimNode& directory, Rng& rng) {
  const size_t survive = SurvivingChanges(EntryFate::kSome, directory.pending.size(), rng);
  for (size_t i = 0; i < survive; ++i) ApplyOnDisk(directory.pending[i], directory);
  directory.pending.clear();
}

void SimTree::Crash(EntryFate entries, UnsyncedFate unsynced, Rng& rng) {
  std::vector<SimNodePtr> directories;
  std::set<const SimNode*> seen;
  auto collect = [&](const SimNodePtr& node) {
    if (node->is_directory) directories.push_back(node);
  };
  ForEachNode(root_, true, seen, collect);

  for (const SimNodePtr& directory : directories) {
    directory->pending.resize(SurvivingChanges(entries, directory->pending.size(), rng));
    SyncDirectory(*directory);
  }
  // A second pass for old names that had to wait for a new name in a directory visited later.
  for (const SimNodePtr& directory : directories) {
    SyncDirectory(*directory);
    directory->pending.clear();
    directory->entries = directory->durable_entries;
  }
  seen.clear();
  auto crash = [&](const SimNodePtr& node) {
    node->linked = true;
    if (!node->is_directory) node->content.Crash(unsynced, rng);
  };
  ForEachNode(root_, false, seen, crash);
}

uint64_t SimTree::UsedBytes(const SimNode& node) {
  uint64_t bytes = node.content.visible().size();
  for (const auto& [name, child] : node.entries) bytes += UsedBytes(*child);
  return bytes;
}

uint64_t SimTree::UsedBytes() const { return UsedBytes(*root_); }

}  // namespace bascule
