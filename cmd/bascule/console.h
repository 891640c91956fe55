// Where a command reads and writes, and how it says that something went wrong.
#pragma once

#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "exit_codes.h"

namespace bascule::cli {

// Owned by one thread, the command's.
struct Console {
  std::ostream& out;
  std::ostream& err;
  int in;  // file descriptor of standard input
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool in_is_terminal = false;
};

// Why a command cannot do what was asked. `what` names the thing and the place, `hint` the way out
// (may be empty). Both may quote a server: they are escaped when printed.
struct Failure {
  ExitCode code = ExitCode::kRefused;
  std::string what;
  std::string hint;
};

// Prints "bascule: <what>; <hint>" and returns the failure's exit code.
ExitCode Report(Console& console, const Failure& failure);

// Prints "bascule: note: <text>".
void Note(Console& console, const std::string& text);

// A value, or why there is none.
template <typename T>
class Outcome {
 public:
  Outcome(T value) : value_(std::move(value)) {}
  Outcome(Failure failure) : failure_(std::move(failure)) {}
  bool ok() const { return value_.has_value(); }
  T& operator*() {
    BASCULE_CHECK(ok());
    return *value_;
  }
  T* operator->() { return &**this; }
  const Failure& failure() const { return failure_; }

 private:
  std::optional<T> value_;
  Failure failure_;
};

}  // namespace bascule::cli
