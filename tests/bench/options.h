// Command line of the load programs: a mode, then --name value or --name=value. Any thread;
// normally read once in main.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace bascule::bench {

class Options {
 public:
  // Leaves the process (exit code 2, reason on stderr) when the line cannot be read, as all methods
  // do.
  Options(int argc, char** argv);

  const std::string& program() const { return program_; }
  // First word that is not an option; empty when there is none.
  const std::string& mode() const { return mode_; }

  std::string Text(const std::string& name, const std::string& fallback);
  std::string Required(const std::string& name);
  // Digits with an optional KiB, MiB or GiB, within [least, most].
  int64_t Number(const std::string& name, int64_t fallback, int64_t least, int64_t most);
  bool Flag(const std::string& name);
  std::vector<int> Pids(const std::string& name);

  // Call after the last read: an option that nobody asked about is a mistake of the caller.
  void RejectUnknown() const;
  [[noreturn]] void Fail(const std::string& reason) const;

 private:
  std::string program_;
  std::string mode_;
  std::map<std::string, std::string> values_;
  std::set<std::string> known_;
};

}  // namespace bascule::bench
