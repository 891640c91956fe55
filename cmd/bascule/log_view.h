// Logs on disk as people read them. Pure.
#pragma once

#include <ostream>

namespace bascule::log {
struct LogReport;
}  // namespace bascule::log

namespace bascule::cli {}

namespace bascule::cli {

// Every segment with its offsets, times and sizes, then what is wrong.
void PrintLog(std::ostream& out, const log::LogReport& log);

// One line when all is sound, and below it a sentence for everything that is not.
void PrintVerdict(std::ostream& out, const log::LogReport& log);

}  // namespace bascule::cli
