// Wakes whoever waits until a metadata index is applied here. On the metadata thread.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/types.h"

namespace bascule::metadata {

class AppliedWatch {
 public:
  using Wake = absl::AnyInvocable<void()>;

  void Add(MetadataIndex index, Wake wake) { waiting_.emplace(index, std::move(wake)); }
  // Takes out who waited for anything up to `applied`, the oldest index first.
  std::vector<Wake> Take(MetadataIndex applied) {
    std::vector<Wake> due;
    const auto end = waiting_.upper_bound(applied);
    for (auto it = waiting_.begin(); it != end; ++it) due.push_back(std::move(it->second));
    waiting_.erase(waiting_.begin(), end);
    return due;
  }

 private:
  std::multimap<MetadataIndex, Wake> waiting_;
};

}  // namespace bascule::metadata
