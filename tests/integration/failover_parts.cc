#include "tests/integration/failover_parts.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace bascule::cluster_job {
namespace {

constexpr std::array<const char*, kFailoverParts> kPartNames = {
    "metadata led", "noticed", "fenced", "elected", "listening", "first ack"};

// "2026-12-01T02:47:10.123Z" at the line's beginning, as milliseconds of the system's clock.
std::optional<int64_t> TimeOfLine(std::string_view line) {
  std::tm day{};
  int milliseconds = 0;
  const std::string text(line.substr(0, 24));
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d.%dZ", &day.tm_year, &day.tm_mon, &day.tm_mday,
                  &day.tm_hour, &day.tm_min, &day.tm_sec, &milliseconds) != 7) {
    return std::nullopt;
  }
  day.tm_year -= 1900;
  day.tm_mon -= 1;
  return static_cast<int64_t>(timegm(&day)) * 1000 + milliseconds;
}

// Of the first line since `blow` in any log that `fits`, its distance from there.
std::optional<double> FirstLine(const std::vector<std::string>& logs, int64_t blow,
                                const std::function<bool(std::string_view)>& fits) {
  std::optional<double> first;
  for (const std::string_view log : logs) {
    for (size_t at = 0; at < log.size();) {
      const size_t end = std::min(log.find('\n', at), log.size());
      const std::string_view line = log.substr(at, end - at);
      at = end + 1;
      if (!fits(line)) continue;
      const std::optional<int64_t> time = TimeOfLine(line);
      if (!time || *time < blow) continue;
      const auto since = static_cast<double>(*time - blow);
      if (!first || since < *first) first = since;
      break;  // a log goes on in time
    }
  }
  return first;
}

// From the end of the part before it: 0 where it came earlier, as two brokers can say it.
std::vector<std::pair<int, double>> Differences(const FailoverMoments& moments) {
  std::vector<std::pair<int, double>> differences;
  double before = 0;
  for (int part = 0; part < kFailoverParts; ++part) {
    const std::optional<double>& moment = moments[static_cast<size_t>(part)];
    if (!moment) continue;
    differences.emplace_back(part, std::max(0.0, *moment - before));
    before = std::max(before, *moment);
  }
  return differences;
}

}  // namespace

FailoverMoments MomentsOf(Cluster& cluster, int killed, bool led_metadata,
                          std::chrono::system_clock::time_point blow) {
  std::vector<std::string> logs;
  for (int i = 0; i < cluster.size(); ++i) logs.push_back(cluster.at(i).Log());
  const int64_t since =
      std::chrono::duration_cast<std::chrono::milliseconds>(blow.time_since_epoch()).count();
  const std::string id = IdOf(killed);
  const auto said = [&](const std::string& text) {
    return FirstLine(logs, since, [&](std::string_view line) { return Has(line, text); });
  };
  FailoverMoments moments;
  if (led_metadata) moments[kMetadataLed] = said("metadata group: this broker leads it in term ");
  moments[kNoticed] = FirstLine(logs, since, [&](std::string_view line) {
    const size_t at = line.find(": fencing ");
    return at != std::string_view::npos && Has(line.substr(at), id);
  });
  moments[kFenced] = said(absl::StrCat("broker ", id, " is fenced"));
  moments[kElected] = FirstLine(logs, since, [](std::string_view line) {
    return Has(line, "stream orders partition 0: broker ") && Has(line, " leads in epoch ");
  });
  moments[kListening] = said(" partition 0: listens");
  return moments;
}

void FailoverTable::Add(const FailoverMoments& moments) {
  waits_.push_back(moments[kAcked].value_or(0));
  for (const auto& [part, took] : Differences(moments))
    parts_[static_cast<size_t>(part)].push_back(took);
}

double FailoverTable::Median() const {
  if (waits_.empty()) return 0;
  std::vector<double> sorted = waits_;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

std::string FailoverTable::Summary() const {
  std::string text = absl::StrCat("time without acks ", Distribution(waits_));
  for (size_t part = 0; part < parts_.size(); ++part) {
    if (!parts_[part].empty())
      absl::StrAppend(&text, "\n  ", kPartNames[part], " ", Distribution(parts_[part]));
  }
  return text;
}

std::string InWords(const FailoverMoments& moments) {
  std::string text;
  for (const auto& [part, took] : Differences(moments)) {
    absl::StrAppend(&text,
                    absl::StrFormat("%s +%.0f, ", kPartNames[static_cast<size_t>(part)], took));
  }
  return absl::StrFormat("%stogether %.0f ms", text, moments[kAcked].value_or(0));
}

}  // namespace bascule::cluster_job
