// Streams by the subjects that they listen to, so that those that may hear the messages of another one
// are found without a look at all of them. Pure; one thread at a time.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "core/stream/description.h"

namespace bascule {

class SubjectIndex {
 public:
  // By name and subject, which are not there together yet.
  void Add(const StreamDescription& stream);
  // Nothing happens when it is not there.
  void Remove(const StreamDescription& stream);
  size_t size() const { return streams_.size(); }

  // Shows `wanted` the names of streams, each of which HearSameMessages (overlap.h) is to judge: all
  // that can hear what `stream` hears are among them, and few others. True, and no more are shown,
  // when `wanted` said so of one. Costs what it shows, for each "*" of the subject the number of
  // different tokens in its place, and at most a look at each beginning of a subject that is there.
  using Wanted = absl::FunctionRef<bool(const std::string& name)>;
  bool Find(const StreamDescription& stream, Wanted wanted) const;

 private:
  struct Search;
  // Subjects in the order of their tokens: with kEnd in the place of the dots, so that what stands
  // below one prefix stands together.
  static constexpr char kEnd = '\0';
  bool Below(const std::string& prefix, const Search& search, size_t token) const;
  bool At(const std::string& key, const Search& search, size_t token) const;
  bool Begins(const std::string& prefix) const;  // some subject
  bool ShowAt(const std::string& key, const Search& search) const;
  bool ShowBelow(const std::string& prefix, const Search& search) const;

  std::set<std::pair<std::string, std::string>> streams_;  // key, name
};

}  // namespace bascule
