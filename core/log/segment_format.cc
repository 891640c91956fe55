#include "core/log/segment_format.h"

#include <charconv>

#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/wire/coding.h"

namespace bascule::log {
namespace {

using wire::AppendFixed;
using wire::GetFixed;
using wire::PutFixed;

constexpr size_t kFooterFixedBytes = 120;    // up to the epoch list
constexpr size_t kFooterFixedBytesV1 = 104;  // without the stored times
constexpr size_t kEpochBytes = 16;

}  // namespace

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string out(kSegmentHeaderBytes, '\0');
  PutFixed<uint32_t>(&out[0], kSegmentMagic);
  out[4] = static_cast<char>(kSegmentVersion);
  PutFixed<uint64_t>(&out[8], header.stream.value());
  PutFixed<int32_t>(&out[16], header.partition.value());
  PutFixed<int64_t>(&out[24], header.base_offset.value());
  PutFixed<uint32_t>(&out[60], Crc32c(std::string_view(out).substr(0, 60)));
  return out;
}

absl::StatusOr<SegmentHeader> ParseSegmentHeader(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderBytes)
    return absl::DataLossError("segment header is incomplete");
  if (GetFixed<uint32_t>(&bytes[0]) != kSegmentMagic)
    return absl::DataLossError("not a segment (wrong magic)");
  if (GetFixed<uint32_t>(&bytes[60]) != Crc32c(bytes.substr(0, 60))) {
    return absl::DataLossError("segment header is damaged (checksum differs)");
  }
  if (static_cast<uint8_t>(bytes[4]) != kSegmentVersion) {
    return absl::FailedPreconditionError(
        Concat("segment format version ", static_cast<uint8_t>(bytes[4]),
               " is newer than this program knows (", kSegmentVersion, ")"));
  }
  SegmentHeader header;
  header.stream = StreamId(GetFixed<uint64_t>(&bytes[8]));
  header.partition = PartitionId(GetFixed<int32_t>(&bytes[16]));
  header.base_offset = Offset(GetFixed<int64_t>(&bytes[24]));
  return header;
}

void AppendIndexEntry(std::string& out, const IndexEntry& entry) {
  const size_t begin = out.size();
  AppendFixed<int64_t>(out, entry.offset.value());
  AppendFixed<int64_t>(out, entry.timestamp.value());
  AppendFixed<uint64_t>(out, entry.position.value());
  AppendFixed<uint64_t>(out, entry.epoch.value());
  AppendFixed<uint32_t>(out, 0);
  AppendFixed<uint32_t>(out, Crc32c(std::string_view(out).substr(begin)));
}

std::optional<IndexEntry> ParseIndexEntry(std::string_view bytes) {
  if (bytes.size() < kIndexEntryBytes) return std::nullopt;
  if (GetFixed<uint32_t>(&bytes[36]) != Crc32c(bytes.substr(0, 36))) return std::nullopt;
  return IndexEntry{Offset(GetFixed<int64_t>(&bytes[0])), Timestamp(GetFixed<int64_t>(&bytes[8])),
                    FilePosition(GetFixed<uint64_t>(&bytes[16])),
                    LeaderEpoch(GetFixed<uint64_t>(&bytes[24]))};
}

std::string EncodeSealing(const SegmentFooter& footer, const std::vector<IndexEntry>& index) {
  BASCULE_CHECK_EQ(footer.index_entries, index.size());
  std::string out;
  for (const IndexEntry& entry : index) AppendIndexEntry(out, entry);
  const size_t begin = out.size();
  AppendFixed<uint32_t>(out, kFooterMagic);
  AppendFixed<uint32_t>(out, kFooterVersion);
  AppendFixed<int64_t>(out, footer.base_offset.value());
  AppendFixed<int64_t>(out, footer.end_offset.value());
  AppendFixed<uint64_t>(out, footer.record_count);
  AppendFixed<uint64_t>(out, footer.gap_records);
  AppendFixed<uint64_t>(out, footer.messages_in_gaps);
  AppendFixed<int64_t>(out, footer.first_timestamp.value());
  AppendFixed<int64_t>(out, footer.max_timestamp.value());
  AppendFixed<uint64_t>(out, footer.data_end.value());
  AppendFixed<int64_t>(out, footer.compacted_through.value());
  AppendFixed<uint32_t>(out, footer.data_crc);
  AppendFixed<uint32_t>(out, footer.index_entries);
  AppendFixed<int64_t>(out, footer.last_message_end.value());
  AppendFixed<int64_t>(out, footer.first_stored.value());
  AppendFixed<int64_t>(out, footer.last_stored.value());
  AppendFixed<uint64_t>(out, footer.epochs.size());
  BASCULE_CHECK_EQ(out.size() - begin, kFooterFixedBytes);
  for (const EpochStart& start : footer.epochs) {
    AppendFixed<uint64_t>(out, start.epoch.value());
    AppendFixed<int64_t>(out, start.start.value());
  }
  const uint32_t footer_bytes = static_cast<uint32_t>(out.size() - begin);
  AppendFixed<uint32_t>(out, Crc32c(std::string_view(out).substr(begin)));
  AppendFixed<uint32_t>(out, footer_bytes);
  AppendFixed<uint32_t>(out, kFooterVersion);
  AppendFixed<uint32_t>(out, kFooterMagic);
  return out;
}

absl::StatusOr<SegmentFooter> ParseFooter(std::string_view end_of_file, uint64_t file_bytes,
                                          size_t& needed) {
  needed = kFooterTailBytes;
  if (end_of_file.size() < kFooterTailBytes)
    return absl::NotFoundError("file is shorter than a footer");
  const std::string_view tail = end_of_file.substr(end_of_file.size() - kFooterTailBytes);
  if (GetFixed<uint32_t>(&tail[12]) != kFooterMagic) return absl::NotFoundError("no footer");
  const uint32_t footer_bytes = GetFixed<uint32_t>(&tail[4]);
  if (footer_bytes < kFooterFixedBytesV1 || footer_bytes > kMaxFooterBytes ||
      footer_bytes + kFooterTailBytes > file_bytes) {
    return absl::DataLossError("footer length is impossible");
  }
  needed = footer_bytes + kFooterTailBytes;
  if (end_of_file.size() < needed) return absl::OutOfRangeError("more bytes needed");
  const std::string_view in = end_of_file.substr(end_of_file.size() - needed, footer_bytes);
  if (GetFixed<uint32_t>(&tail[0]) != Crc32c(in))
    return absl::DataLossError("footer is damaged (checksum differs)");
  // The tail's is not covered by the checksum, which ends before it. A footer of a newer version is
  // as good as none: the batches say the same again.
  const uint32_t version = GetFixed<uint32_t>(&in[4]);
  if (GetFixed<uint32_t>(&tail[8]) != version || version == 0 || version > kFooterVersion ||
      GetFixed<uint32_t>(&in[0]) != kFooterMagic) {
    return absl::DataLossError("footer is damaged (wrong version)");
  }
  const size_t fixed_bytes = version == 1 ? kFooterFixedBytesV1 : kFooterFixedBytes;
  if (footer_bytes < fixed_bytes) return absl::DataLossError("footer is torn");
  SegmentFooter footer;
  footer.base_offset = Offset(GetFixed<int64_t>(&in[8]));
  footer.end_offset = Offset(GetFixed<int64_t>(&in[16]));
  footer.record_count = GetFixed<uint64_t>(&in[24]);
  footer.gap_records = GetFixed<uint64_t>(&in[32]);
  footer.messages_in_gaps = GetFixed<uint64_t>(&in[40]);
  footer.first_timestamp = Timestamp(GetFixed<int64_t>(&in[48]));
  footer.max_timestamp = Timestamp(GetFixed<int64_t>(&in[56]));
  footer.data_end = FilePosition(GetFixed<uint64_t>(&in[64]));
  footer.compacted_through = Offset(GetFixed<int64_t>(&in[72]));
  footer.data_crc = GetFixed<uint32_t>(&in[80]);
  footer.index_entries = GetFixed<uint32_t>(&in[84]);
  footer.last_message_end = Offset(GetFixed<int64_t>(&in[88]));
  if (version > 1) {
    footer.first_stored = Timestamp(GetFixed<int64_t>(&in[96]));
    footer.last_stored = Timestamp(GetFixed<int64_t>(&in[104]));
  }
  const uint64_t epochs = GetFixed<uint64_t>(&in[fixed_bytes - 8]);
  if (epochs != (footer_bytes - fixed_bytes) / kEpochBytes)
    return absl::DataLossError("footer's epoch list is torn");
  if (footer.data_end.value() < kSegmentHeaderBytes || footer.data_end.value() > file_bytes ||
      footer.data_end.value() + uint64_t{footer.index_entries} * kIndexEntryBytes + needed !=
          file_bytes) {
    return absl::DataLossError("footer does not fit the file's length");
  }
  if (footer.base_offset < Offset(0) || footer.end_offset < footer.base_offset ||
      footer.end_offset > kMaxStoredOffset)
    return absl::DataLossError("footer's offsets are impossible");
  for (uint64_t i = 0; i < epochs; ++i) {
    const char* at = &in[fixed_bytes + i * kEpochBytes];
    footer.epochs.push_back(
        {LeaderEpoch(GetFixed<uint64_t>(at)), Offset(GetFixed<int64_t>(at + 8))});
  }
  return footer;
}

std::string SegmentFileName(Offset base) { return absl::StrFormat("%020d.log", base.value()); }
std::string IndexFileName(Offset base) { return absl::StrFormat("%020d.idx", base.value()); }

std::optional<Offset> ParseSegmentFileName(std::string_view name) {
  constexpr size_t kDigits = 20;
  if (name.size() != kDigits + 4 || name.substr(kDigits) != ".log") return std::nullopt;
  int64_t base = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, base);
  if (error != std::errc() || end != name.data() + kDigits || base < 0 ||
      Offset(base) > kMaxStoredOffset)
    return std::nullopt;
  return Offset(base);
}

std::string_view ParseEnteringName(std::string_view name) {
  if (!name.ends_with(kEnteringSuffix)) return "";
  name.remove_suffix(kEnteringSuffix.size());
  return ParseSegmentFileName(name) ? name : "";
}

}  // namespace bascule::log
