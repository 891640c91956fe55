#include "tests/sim/replica_checker.h"

#include <algorithm>

#include "core/base/text.h"

namespace bascule {

void ReplicaChecker::OnHighWatermark(const std::string& subject, const std::string& process,
                                     Offset committed) {
  Offset& known = high_watermarks_[{subject, process}];
  if (committed < known) {
    fail_(Concat(subject, ": ", process, " showed ", known, " as its high watermark, and then ",
                 committed));
  }
  known = std::max(known, committed);
}

void ReplicaChecker::Forget(const std::string& subject) {
  forgotten_.insert(subject);
  messages_.Forget(subject);
}

void ReplicaChecker::OnLeader(const std::string& subject, LeaderEpoch epoch,
                              const std::string& process) {
  const auto [leader, fresh] = leaders_.emplace(std::pair(subject, epoch), process);
  if (!fresh && leader->second != process)
    fail_(Concat(leader->second, " and ", process, " both lead epoch ", epoch, " of ", subject));
}

void ReplicaChecker::Show(const std::string& subject, const wire::BatchHeader& header,
                          std::string_view bytes, const std::string& by) {
  Shown& shown = shown_[subject];
  const Batch batch{header.end(), header.leader_epoch, std::hash<std::string_view>()(bytes)};
  const auto [known, fresh] = shown.batches.emplace(header.base_offset, batch);
  shown.end = std::max(shown.end, batch.end);
  if (!fresh) {
    if (known->second == batch) return;
    return fail_(Concat(by, " shows other bytes of ", subject, " at offset ", header.base_offset,
                        ", of epoch ", batch.epoch, " to ", batch.end, ": they were of epoch ",
                        known->second.epoch, " to ", known->second.end));
  }
  const auto next = std::next(known);
  const bool before =
      known != shown.batches.begin() && std::prev(known)->second.end > header.base_offset;
  if (before || (next != shown.batches.end() && next->first < batch.end))
    fail_(Concat(by, " shows a batch of ", subject, " from ", header.base_offset, " to ", batch.end,
                 ", across what was shown before"));
}

Offset ReplicaChecker::OnRead(const std::string& subject, std::string_view batches, Offset from,
                              Offset committed, bool holes, const std::string& by) {
  if (IsForgotten(subject)) return from;
  partition::PartitionContent content;
  Offset at = from;
  wire::BatchHeader header;
  std::string_view payload;
  while (wire::ParseBatch(batches, header, payload) == wire::BatchParse::kOk) {
    const std::string_view bytes = batches.substr(0, header.total_bytes());
    batches.remove_prefix(bytes.size());
    if (header.end() > committed) {
      if (header.base_offset < committed)
        fail_(Concat(by, ": ", subject, " is committed to ", committed, ", inside of a batch"));
      return at;
    }
    const bool front = at == from;
    if (front ? header.end() <= from || (header.base_offset > from && !holes)
              : header.base_offset != at)
      fail_(Concat(by, " reads ", subject, " from ", from, " on and is shown a batch from ",
                   header.base_offset, " to ", header.end(), " where ", at, " is next"));
    Show(subject, header, bytes, by);
    content.Take(header, payload);
    at = header.end();
  }
  if (!batches.empty()) fail_(Concat(by, " is shown what is no batch of ", subject));
  messages_.OnRead(subject, content);
  return at;
}

}  // namespace bascule
