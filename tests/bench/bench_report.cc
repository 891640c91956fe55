// Puts the rounds of compare.sh together. Reads lines "side round size measure value unit better"
// (tabs) from standard input and prints, per measure and size, the median of each side and their
// ratio; with --json one object per row.
//
// `spread` is the least and the greatest ratio of two runs of the same round: rounds are
// interleaved, so what moved both sides alike (a noisy machine) does not show in it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/bench/options.h"

namespace bascule::bench {
namespace {

struct Row {
  std::string measure;
  uint64_t size = 0;
  std::string unit;
  std::string better;
  std::map<int, double> ours;  // by round
  std::map<int, double> peer;
};

struct Summary {
  double ours = NAN;
  double peer = NAN;
  double ratio = NAN;  // NaN here and below: one of the sides was not measured
  double least = NAN;
  double most = NAN;
  size_t rounds = 0;
};

double Median(const std::map<int, double>& rounds) {
  std::vector<double> values;
  for (const auto& [round, value] : rounds) values.push_back(value);
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Summary Summarise(const Row& row) {
  Summary summary{.ours = Median(row.ours), .peer = Median(row.peer)};
  summary.rounds = std::max(row.ours.size(), row.peer.size());
  if (summary.peer > 0) summary.ratio = summary.ours / summary.peer;
  for (const auto& [round, ours] : row.ours) {
    const auto peer = row.peer.find(round);
    if (peer == row.peer.end() || !(peer->second > 0)) continue;
    summary.least = std::fmin(summary.least, ours / peer->second);
    summary.most = std::fmax(summary.most, ours / peer->second);
  }
  return summary;
}

// Rows in the order in which they were first seen; leaves the process when a line cannot be read.
std::vector<Row> ReadRows(const Options& options) {
  std::vector<Row> rows;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream fields(line);
    std::string side;
    Row read;
    int round = 0;
    double value = 0;
    if (!(fields >> side >> round >> read.size >> read.measure >> value >> read.unit >>
          read.better)) {
      options.Fail("cannot read this line: " + line);
    }
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& other) {
      return other.measure == read.measure && other.size == read.size;
    });
    if (row == rows.end()) row = rows.insert(rows.end(), read);
    (side == "ours" ? row->ours : row->peer)[round] = value;
  }
  return rows;
}

// JSON has no NaN.
std::string JsonNumber(double value) {
  if (std::isnan(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

void PrintJson(const Row& row) {
  const Summary summary = Summarise(row);
  std::printf(
      "{\"measure\":\"%s\",\"size\":%llu,\"ours\":%s,\"peer\":%s,\"ratio\":%s,\"unit\":\"%s\","
      "\"better\":\"%s\",\"rounds\":%zu,\"spread\":[%s,%s]}\n",
      row.measure.c_str(), static_cast<unsigned long long>(row.size),
      JsonNumber(summary.ours).c_str(), JsonNumber(summary.peer).c_str(),
      JsonNumber(summary.ratio).c_str(), row.unit.c_str(), row.better.c_str(), summary.rounds,
      JsonNumber(summary.least).c_str(), JsonNumber(summary.most).c_str());
}

std::string Short(double value) {
  if (std::isnan(value)) return "-";
  char text[32];
  const int digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

const char* Verdict(const Row& row, double ratio) {
  constexpr double kNoise = 0.03;
  if (std::isnan(ratio)) return "";
  if (std::fabs(ratio - 1) <= kNoise) return "level";
  return (ratio > 1) == (row.better == "higher") ? "better" : "WORSE";
}

void PrintTable(const std::vector<Row>& rows) {
  std::printf("%-20s %8s %-8s %12s %12s %7s  %-13s %s\n", "measure", "size", "unit", "ours", "peer",
              "ratio", "rounds' range", "ours is");
  const bool several_sizes = rows.front().size != rows.back().size;
  std::string last;
  for (const Row& row : rows) {
    const Summary summary = Summarise(row);
    if (several_sizes && !last.empty() && row.measure != last) std::printf("\n");
    last = row.measure;
    const std::string range =
        std::isnan(summary.ratio) ? "" : Short(summary.least) + " - " + Short(summary.most);
    std::printf("%-20s %8llu %-8s %12s %12s %7s  %-13s %s\n", row.measure.c_str(),
                static_cast<unsigned long long>(row.size), row.unit.c_str(),
                Short(summary.ours).c_str(), Short(summary.peer).c_str(),
                Short(summary.ratio).c_str(), range.c_str(), Verdict(row, summary.ratio));
  }
}

}  // namespace
}  // namespace bascule::bench

int main(int argc, char** argv) {
  using namespace bascule::bench;
  Options options(argc, argv);
  const bool json = options.Flag("json");
  options.RejectUnknown();
  std::vector<Row> rows = ReadRows(options);
  if (rows.empty()) options.Fail("no results on standard input");
  // Sizes of one measure side by side; measures in the order of the phases.
  std::map<std::string, size_t> rank;
  for (const Row& row : rows) rank.emplace(row.measure, rank.size());
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    return std::pair(rank[a.measure], a.size) < std::pair(rank[b.measure], b.size);
  });
  if (json) {
    for (const Row& row : rows) PrintJson(row);
  } else {
    PrintTable(rows);
  }
}
