#include "core/config/faults.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/config/config.h"

namespace bascule::config {

std::string ToText(const Place& place) {
  return place.line > 0 ? absl::StrCat(place.source, ":", place.line) : place.source;
}

void Faults::Add(Place place, std::string text) {
  if (!full()) faults_.push_back({std::move(place), std::move(text)});
}

void Faults::Take(Faults other) {
  for (Fault& fault : other.faults_) Add(std::move(fault.place), std::move(fault.text));
}

bool Faults::full() const { return faults_.size() >= static_cast<size_t>(kMaxConfigFaults); }

absl::Status Faults::ToStatus() const {
  if (faults_.empty()) return absl::OkStatus();
  std::vector<const Fault*> sorted;
  for (const Fault& fault : faults_) sorted.push_back(&fault);
  // Sources without lines come last, as found: 0 counts as past every line.
  std::stable_sort(sorted.begin(), sorted.end(), [](const Fault* a, const Fault* b) {
    return static_cast<unsigned>(a->place.line - 1) < static_cast<unsigned>(b->place.line - 1);
  });
  std::string text;
  for (const Fault* fault : sorted)
    absl::StrAppend(&text, text.empty() ? "" : "\n", ToText(fault->place), ": ", fault->text);
  if (full()) absl::StrAppend(&text, "\nmore mistakes are not shown; mend these first");
  return absl::InvalidArgumentError(text);
}

}  // namespace bascule::config
