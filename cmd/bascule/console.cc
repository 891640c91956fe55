// Includes its headers by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "console.h"

#include "text.h"

namespace bascule::cli {

ExitCode Report(Console& console, const Failure& failure) {
  console.out.flush();
  console.err << "bascule: " << EscapeText(failure.what);
  if (!failure.hint.empty()) console.err << "; " << EscapeText(failure.hint);
  console.err << std::endl;
  return failure.code;
}

void Note(Console& console, const std::string& text) {
  console.err << "bascule: note: " << EscapeText(text) << std::endl;
}

}  // namespace bascule::cli
