// What a scan takes for the end of a file, and what for damage.
#include "core/log/batch_scanner.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {

TEST_CASE("batch scanner: zeros are the end only where nothing comes behind them") {
  SegmentFile segment(Offset(0));
  segment.AddMany(6, 300);
  for (const size_t zeros : {size_t{96}, size_t{4096}, size_t{300'000}}) {
    for (const bool goes_on : {false, true}) {
      CAPTURE(zeros);
      CAPTURE(goes_on);
      SimFileSystem fs(1);
      const size_t hole = segment.starts[3].value();
      std::string bytes = segment.bytes.substr(0, hole) + std::string(zeros, '\0');
      if (goes_on) bytes += segment.bytes.substr(segment.starts[4].value());
      PutFile(fs, "/d/s.log", bytes);
      const auto file = fs.Open("/d/s.log", OpenMode::kRead);
      REQUIRE(file.ok());
      BatchScanner scanner(**file, FilePosition(kSegmentHeaderBytes), FilePosition(bytes.size()));
      for (int i = 0; i < 3; ++i) CHECK(*scanner.Next() == BatchScanner::Outcome::kBatch);
      CHECK(scanner.next_position() == FilePosition(hole));
      CHECK(*scanner.Next() ==
            (goes_on ? BatchScanner::Outcome::kBad : BatchScanner::Outcome::kEnd));
      if (!goes_on) continue;
      CHECK(*scanner.SeekBatch(scanner.next_position(), Offset(3)));
      CHECK(*scanner.Next() == BatchScanner::Outcome::kBatch);
      CHECK(scanner.header().base_offset == Offset(4));
    }
  }
}

}  // namespace bascule::log
