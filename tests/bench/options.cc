#include "tests/bench/options.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <utility>

namespace bascule::bench {

namespace {

// False when `text` is not a number with a known unit or does not fit.
bool ParseNumber(std::string_view text, int64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  if (error != std::errc()) return false;
  const std::string_view unit(end, text.data() + text.size() - end);
  int shift = 0;
  if (unit == "KiB") shift = 10;
  if (unit == "MiB") shift = 20;
  if (unit == "GiB") shift = 30;
  if (shift == 0 && !unit.empty()) return false;
  return !__builtin_mul_overflow(*number, int64_t{1} << shift, number);
}

}  // namespace

Options::Options(int argc, char** argv) : program_(argc > 0 ? argv[0] : "bench") {
  program_ = program_.substr(program_.rfind('/') + 1);
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      if (!mode_.empty()) Fail("unexpected argument \"" + word + "\"");
      mode_ = word;
      continue;
    }
    word.erase(0, 2);
    std::string value;
    if (const size_t equals = word.find('='); equals != std::string::npos) {
      value = word.substr(equals + 1);
      word.resize(equals);
    } else if (i + 1 < argc && std::string_view(argv[i + 1]).rfind("--", 0) != 0) {
      value = argv[++i];
    }
    if (!values_.emplace(word, value).second) Fail("--" + word + " is given twice");
  }
}

std::string Options::Text(const std::string& name, const std::string& fallback) {
  known_.insert(name);
  const auto found = values_.find(name);
  if (found == values_.end()) return fallback;
  if (found->second.empty()) Fail("--" + name + " needs a value");
  return found->second;
}

std::string Options::Required(const std::string& name) {
  if (!values_.contains(name)) Fail("--" + name + " is required");
  return Text(name, "");
}

int64_t Options::Number(const std::string& name, int64_t fallback, int64_t least, int64_t most) {
  const std::string text = Text(name, "");
  if (text.empty()) return fallback;
  int64_t number = 0;
  if (!ParseNumber(text, &number) || number < least || number > most) {
    Fail("--" + name + " " + text + ": a number from " + std::to_string(least) + " to " +
         std::to_string(most) + " is expected, with KiB, MiB or GiB if wanted");
  }
  return number;
}

bool Options::Flag(const std::string& name) {
  known_.insert(name);
  const auto found = values_.find(name);
  if (found == values_.end()) return false;
  if (!found->second.empty()) Fail("--" + name + " takes no value");
  return true;
}

std::vector<int> Options::Pids(const std::string& name) {
  std::vector<int> pids;
  std::istringstream list(Text(name, ""));
  for (std::string item; std::getline(list, item, ',');) {
    int64_t pid = 0;
    if (!ParseNumber(item, &pid) || pid <= 0) Fail("--" + name + ": not a process id: " + item);
    pids.push_back(static_cast<int>(pid));
  }
  return pids;
}

void Options::RejectUnknown() const {
  for (const auto& [name, value] : values_) {
    if (!known_.contains(name)) Fail("--" + name + " is not an option of this mode");
  }
}

void Options::Fail(const std::string& reason) const {
  std::fprintf(stderr, "%s: %s (see tests/bench/README.md)\n", program_.c_str(), reason.c_str());
  std::exit(2);
}

}  // namespace bascule::bench
