// A directory of its own for one test, on the real disk.
#pragma once

#include <string>
#include <string_view>

namespace bascule {

class TempDir {
 public:
  // Under $TMPDIR, or /tmp. Aborts the test program when that cannot be written.
  TempDir();
  // Removes it with all it holds.
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // `name` inside it.
  std::string Path(std::string_view name) const;

 private:
  std::string path_;
};

}  // namespace bascule
