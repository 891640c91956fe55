#include "cmd/bascule/log_view.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cmd/bascule/format.h"
#include "cmd/bascule/text.h"
#include "core/log/inspect.h"

namespace bascule::cli {
namespace {

std::string FileName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string Time(Timestamp time) {
  return time.value() == 0 ? "-" : FormatTime(time, Precision::kSeconds);
}

std::string Epochs(const log::SegmentFooter& facts) {
  std::vector<std::string> epochs;
  for (const EpochStart& start : facts.epochs)
    epochs.push_back(std::to_string(start.epoch.value()));
  // The first and the last say enough where a log has seen many elections.
  if (epochs.size() > 3) return absl::StrCat(epochs.front(), "..", epochs.back());
  return epochs.empty() ? "-" : absl::StrJoin(epochs, ",");
}

void PrintTroubles(std::ostream& out, const log::LogReport& log) {
  for (const log::SegmentReport& segment : log.segments) {
    const std::string name = EscapeText(FileName(segment.path));
    for (const std::string& problem : segment.problems) {
      out << "! " << name << ": " << EscapeText(problem) << '\n';
    }
    for (const std::string& remark : segment.remarks) {
      out << "  " << name << ": " << EscapeText(remark) << '\n';
    }
  }
  for (const std::string& problem : log.problems) out << "! " << EscapeText(problem) << '\n';
}

}  // namespace

void PrintLog(std::ostream& out, const log::LogReport& log) {
  out << EscapeText(log.directory) << ": stream id " << log.stream << ", partition "
      << log.partition << "\n\n";
  using Align = Table::Align;
  Table table({{"SEGMENT"},
               {"STATE"},
               {"FIRST", Align::kRight},
               {"LAST", Align::kRight},
               {"MESSAGES", Align::kRight},
               {"SIZE", Align::kRight},
               {"FROM"},
               {"TO"},
               {"EPOCHS"},
               {"GAPS", Align::kRight}});
  for (const log::SegmentReport& segment : log.segments) {
    const log::SegmentFooter& facts = segment.facts;
    const bool empty = facts.end_offset == facts.base_offset;
    table.AddRow({EscapeText(FileName(segment.path)),
                  !segment.problems.empty() ? "DAMAGED"
                  : segment.sealed          ? "sealed"
                                            : "active",
                  empty ? "-" : GroupDigits(facts.base_offset.value()),
                  empty ? "-" : GroupDigits(facts.end_offset.value() - 1),
                  GroupDigits(facts.record_count), HumanBytes(segment.file_bytes),
                  Time(facts.first_timestamp), Time(facts.max_timestamp), Epochs(facts),
                  GroupDigits(facts.gap_records)});
  }
  table.Print(out);
  if (!log.sound()) out << '\n';
  PrintTroubles(out, log);
}

void PrintVerdict(std::ostream& out, const log::LogReport& log) {
  uint64_t messages = 0;
  uint64_t bytes = 0;
  for (const log::SegmentReport& segment : log.segments) {
    messages += segment.facts.record_count;
    bytes += segment.file_bytes;
  }
  out << EscapeText(log.directory) << ": " << (log.sound() ? "sound" : "DAMAGED") << ", "
      << Count(messages, "message") << " in " << Count(log.segments.size(), "segment") << ", "
      << HumanBytes(bytes) << '\n';
  PrintTroubles(out, log);
}

}  // namespace bascule::cli
