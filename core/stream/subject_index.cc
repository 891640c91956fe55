#include "core/stream/subject_index.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"
#include "core/base/text.h"

namespace bascule {
namespace {

std::string KeyOf(std::string_view subject, char end) {
  std::string key(subject);
  std::replace(key.begin(), key.end(), '.', end);
  return key;
}

}  // namespace

struct SubjectIndex::Search {
  std::vector<std::string> tokens;
  int32_t partitions;  // numbers 1 to this one less stand behind the subject, too
  Wanted wanted;
};

void SubjectIndex::Add(const StreamDescription& stream) {
  streams_.emplace(KeyOf(stream.subject, kEnd), stream.name);
}

void SubjectIndex::Remove(const StreamDescription& stream) {
  streams_.erase({KeyOf(stream.subject, kEnd), stream.name});
}

bool SubjectIndex::Find(const StreamDescription& stream, Wanted wanted) const {
  const Search search{absl::StrSplit(ToAbsl(stream.subject), '.'),
                      static_cast<int32_t>(stream.partitions.size()), wanted};
  return Below("", search, 0);
}

// `prefix`: the tokens before search.tokens[token], as they stand in a key, with the last end.
bool SubjectIndex::Below(const std::string& prefix, const Search& search, size_t token) const {
  if (!Begins(prefix)) return false;  // else both branches of each further token would be walked
  const std::string& own = search.tokens[token];
  if (own == ">") return ShowBelow(prefix, search);
  if (ShowAt(prefix + ">", search)) return true;
  if (own != "*") return At(prefix + own, search, token) || At(prefix + "*", search, token);
  auto next = streams_.lower_bound({prefix, ""});
  while (next != streams_.end() && next->first.starts_with(prefix)) {
    const std::string key = next->first.substr(0, next->first.find(kEnd, prefix.size()));
    if (At(key, search, token)) return true;
    next = streams_.lower_bound({key + static_cast<char>(kEnd + 1), ""});
  }
  return false;
}

// `key`: tokens that meet those of the search up to `token`.
bool SubjectIndex::At(const std::string& key, const Search& search, size_t token) const {
  const size_t left = search.tokens.size() - token - 1;
  // Who ends one token earlier may have it as the number of a partition.
  if (left <= 1 && ShowAt(key, search)) return true;
  const std::string prefix = key + kEnd;
  if (left > 0) return Below(prefix, search, token + 1);
  if (search.partitions < 2 || !Begins(prefix)) return false;
  for (int32_t number = 1; number < search.partitions; ++number) {
    if (ShowAt(Concat(prefix, number), search)) return true;
  }
  return ShowAt(prefix + "*", search) || ShowAt(prefix + ">", search);
}

bool SubjectIndex::Begins(const std::string& prefix) const {
  const auto first = streams_.lower_bound({prefix, ""});
  return first != streams_.end() && first->first.starts_with(prefix);
}

bool SubjectIndex::ShowAt(const std::string& key, const Search& search) const {
  for (auto it = streams_.lower_bound({key, ""}); it != streams_.end() && it->first == key; ++it) {
    if (search.wanted(it->second)) return true;
  }
  return false;
}

bool SubjectIndex::ShowBelow(const std::string& prefix, const Search& search) const {
  for (auto it = streams_.lower_bound({prefix, ""});
       it != streams_.end() && it->first.starts_with(prefix); ++it) {
    if (search.wanted(it->second)) return true;
  }
  return false;
}

}  // namespace bascule
