#include <algorithm>

#include "core/base/text.h"
#include "core/log/recovery.h"

namespace bascule::log {

absl::StatusOr<SegmentFooter> ReadFooter(File& file, uint64_t file_bytes) {
  size_t needed = kFooterTailBytes;
  std::string end;
  while (true) {
    if (file_bytes < needed) return absl::NotFoundError("no footer");
    end.resize(std::min<uint64_t>(std::max<size_t>(needed, 4096), file_bytes));
    RETURN_IF_ERROR(ReadFully(file, FilePosition(file_bytes - end.size()), end.data(), end.size()));
    absl::StatusOr<SegmentFooter> footer = ParseFooter(end, file_bytes, needed);
    if (!absl::IsOutOfRange(footer.status())) return footer;
  }
}

absl::StatusOr<std::vector<IndexEntry>> ReadSealedIndex(File& file, const SegmentFooter& footer) {
  std::string bytes(footer.index_entries * kIndexEntryBytes, '\0');
  RETURN_IF_ERROR(ReadFully(file, footer.data_end, bytes.data(), bytes.size()));
  std::vector<IndexEntry> index;
  index.reserve(footer.index_entries);
  for (size_t i = 0; i < footer.index_entries; ++i) {
    const auto entry = ParseIndexEntry(std::string_view(bytes).substr(i * kIndexEntryBytes));
    const bool ordered = entry && (index.empty() || entry->offset > index.back().offset);
    if (!ordered || entry->position >= footer.data_end) {
      return absl::DataLossError(Concat(file.path(), ": index entry ", i, " is damaged"));
    }
    index.push_back(*entry);
  }
  return index;
}

absl::StatusOr<SegmentFooter> SealSegment(File& file, SegmentFooter footer,
                                          const std::vector<IndexEntry>& index) {
  // A footer vouches for the data before it, so that goes to the disk first.
  RETURN_IF_ERROR(file.Sync());
  footer.index_entries = static_cast<uint32_t>(index.size());
  const std::string sealing = EncodeSealing(footer, index);
  RETURN_IF_ERROR(file.WriteAt(footer.data_end, sealing));
  RETURN_IF_ERROR(file.Truncate(footer.data_end.value() + sealing.size()));
  RETURN_IF_ERROR(file.Sync());
  return footer;
}

}  // namespace bascule::log
