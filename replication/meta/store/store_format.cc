#include "replication/meta/store/store_format.h"

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/wire/coding.h"

namespace bascule::raft_store {
namespace {

using wire::AppendFixed;
using wire::GetFixed;
using wire::PutFixed;

constexpr uint32_t kIdentityMagic = 0x49525342;   // "BSRI"
constexpr uint32_t kHardStateMagic = 0x48525342;  // "BSRH"
constexpr uint32_t kSnapshotMagic = 0x53525342;   // "BSRS"
constexpr uint32_t kSegmentMagic = 0x4c525342;    // "BSRL"
constexpr size_t kIdentityHeaderBytes = 20;
constexpr size_t kHardStateCopyBytes = 44;
constexpr size_t kSnapshotHeaderBytes = 40;
constexpr uint32_t kBaseFlag = 1;
constexpr size_t kDigits = 16;

std::string Begin(uint32_t magic) {
  std::string out;
  AppendFixed(out, magic);
  AppendFixed(out, kFormatVersion);
  return out;
}

void AppendCrc(std::string& out) { AppendFixed<uint32_t>(out, Crc32c(out)); }

// Of bytes that begin with magic and version and end with the checksum of all before.
Soundness Judge(std::string_view bytes, uint32_t magic) {
  if (bytes.size() < 12 || GetFixed<uint32_t>(&bytes[0]) != magic) return Soundness::kDamaged;
  const std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (GetFixed<uint32_t>(body.data() + body.size()) != Crc32c(body)) return Soundness::kDamaged;
  const auto version = GetFixed<uint32_t>(&bytes[4]);
  if (version == kFormatVersion) return Soundness::kSound;
  return version > kFormatVersion ? Soundness::kNewer : Soundness::kDamaged;
}

std::string Hex(uint64_t value) {
  std::string digits(kDigits, '0');
  for (size_t i = kDigits; i-- > 0; value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
  return digits;
}

// The file's prefix is gone already; nothing but the digits may be there.
std::optional<uint64_t> ParseHex(std::string_view digits) {
  if (digits.size() != kDigits) return std::nullopt;
  uint64_t value = 0;
  for (const char c : digits) {
    const size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}

uint32_t RecordCrc(const RecordPlace& place, std::string_view behind_crc) {
  char seed[16];
  PutFixed<uint64_t>(seed, place.sequence);
  PutFixed<uint64_t>(seed + 8, place.position.value());
  return ExtendCrc32c(Crc32c(std::string_view(seed, sizeof(seed))), behind_crc);
}

}  // namespace

std::string EncodeIdentity(const MetaIdentity& identity) {
  std::string out = Begin(kIdentityMagic);
  AppendFixed<uint64_t>(out, identity.node.value());
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(identity.cluster_id.size()));
  out += identity.cluster_id;
  AppendCrc(out);
  return out;
}

Soundness DecodeIdentity(std::string_view bytes, MetaIdentity& identity) {
  const Soundness judged = Judge(bytes, kIdentityMagic);
  if (judged != Soundness::kSound) return judged;
  if (bytes.size() < kIdentityHeaderBytes + 4) return Soundness::kDamaged;
  const size_t length = GetFixed<uint32_t>(&bytes[16]);
  if (length != bytes.size() - kIdentityHeaderBytes - 4) return Soundness::kDamaged;
  identity.node = raft::NodeId(GetFixed<uint64_t>(&bytes[8]));
  identity.cluster_id = bytes.substr(kIdentityHeaderBytes, length);
  return Soundness::kSound;
}

std::string EncodeHardState(const HardStateCopy& copy) {
  std::string out = Begin(kHardStateMagic);
  AppendFixed<uint64_t>(out, copy.sequence);
  AppendFixed<uint64_t>(out, copy.term.value());
  AppendFixed<uint64_t>(out, copy.vote.value());
  AppendFixed<uint64_t>(out, copy.segment);
  AppendCrc(out);
  out.resize(kHardStateBlockBytes, '\0');
  return out;
}

Soundness DecodeHardState(std::string_view block, HardStateCopy& copy) {
  if (block.size() < kHardStateCopyBytes) return Soundness::kDamaged;
  block = block.substr(0, kHardStateCopyBytes);
  const Soundness judged = Judge(block, kHardStateMagic);
  if (judged != Soundness::kSound) return judged;
  copy.sequence = GetFixed<uint64_t>(&block[8]);
  copy.term = raft::Term(GetFixed<uint64_t>(&block[16]));
  copy.vote = raft::NodeId(GetFixed<uint64_t>(&block[24]));
  copy.segment = GetFixed<uint64_t>(&block[32]);
  const bool plausible = copy.sequence <= kMaxIndex && copy.segment <= kMaxIndex;
  return plausible ? Soundness::kSound : Soundness::kDamaged;
}

std::string EncodeSnapshotHeader(const raft::SnapshotMeta& meta, uint64_t state_bytes) {
  const raft::Configuration& members = meta.configuration;
  std::string out = Begin(kSnapshotMagic);
  AppendFixed<uint64_t>(out, meta.index.value());
  AppendFixed<uint64_t>(out, meta.term.value());
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(members.voters.size()));
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(members.learners.size()));
  AppendFixed<uint64_t>(out, state_bytes);
  for (const raft::NodeId id : members.voters) AppendFixed<uint64_t>(out, id.value());
  for (const raft::NodeId id : members.learners) AppendFixed<uint64_t>(out, id.value());
  return out;
}

Soundness DecodeSnapshot(std::string_view bytes, raft::SnapshotMeta& meta, size_t& state_begin) {
  const Soundness judged = Judge(bytes, kSnapshotMagic);
  if (judged != Soundness::kSound) return judged;
  if (bytes.size() < kSnapshotHeaderBytes + 4) return Soundness::kDamaged;
  const uint64_t voters = GetFixed<uint32_t>(&bytes[24]);
  const uint64_t learners = GetFixed<uint32_t>(&bytes[28]);
  const uint64_t members = voters + learners;
  const uint64_t rest = bytes.size() - kSnapshotHeaderBytes - 4;
  if (members > limits::kMaxRaftMembers || members * 8 > rest) return Soundness::kDamaged;
  if (GetFixed<uint64_t>(&bytes[32]) != rest - members * 8) return Soundness::kDamaged;
  meta = {
      raft::Index(GetFixed<uint64_t>(&bytes[8])), raft::Term(GetFixed<uint64_t>(&bytes[16])), {}};
  if (meta.index.value() == 0 || meta.index.value() > kMaxIndex) return Soundness::kDamaged;
  for (uint64_t i = 0; i < members; ++i) {
    const raft::NodeId id(GetFixed<uint64_t>(&bytes[kSnapshotHeaderBytes + i * 8]));
    (i < voters ? meta.configuration.voters : meta.configuration.learners).push_back(id);
  }
  state_begin = kSnapshotHeaderBytes + members * 8;
  return Soundness::kSound;
}

std::string ToFileName(const SnapshotName& name) {
  return "snapshot-" + Hex(name.index.value()) + "-" + Hex(name.term.value());
}

std::optional<SnapshotName> ParseSnapshotName(std::string_view file_name) {
  constexpr std::string_view kPrefix = "snapshot-";
  if (!file_name.starts_with(kPrefix)) return std::nullopt;
  file_name.remove_prefix(kPrefix.size());
  if (file_name.size() != 2 * kDigits + 1 || file_name[kDigits] != '-') return std::nullopt;
  const std::optional<uint64_t> index = ParseHex(file_name.substr(0, kDigits));
  const std::optional<uint64_t> term = ParseHex(file_name.substr(kDigits + 1));
  if (!index.has_value() || !term.has_value()) return std::nullopt;
  return SnapshotName{raft::Index(*index), raft::Term(*term)};
}

std::string EncodeSegmentHeader(const SegmentHeader& header) {
  std::string out = Begin(kSegmentMagic);
  AppendFixed<uint64_t>(out, header.sequence);
  AppendFixed<uint64_t>(out, header.first.value());
  AppendFixed<uint64_t>(out, header.previous_term.value());
  AppendFixed<uint64_t>(out, header.commit.value());
  AppendFixed<uint64_t>(out, header.previous_end.value());
  AppendFixed<uint64_t>(out, header.durable.value());
  AppendFixed<uint32_t>(out, header.base ? kBaseFlag : 0);
  AppendCrc(out);
  return out;
}

Soundness DecodeSegmentHeader(std::string_view bytes, SegmentHeader& header) {
  if (bytes.size() < kSegmentHeaderBytes) return Soundness::kDamaged;
  bytes = bytes.substr(0, kSegmentHeaderBytes);
  const Soundness judged = Judge(bytes, kSegmentMagic);
  if (judged != Soundness::kSound) return judged;
  header.sequence = GetFixed<uint64_t>(&bytes[8]);
  header.first = raft::Index(GetFixed<uint64_t>(&bytes[16]));
  header.previous_term = raft::Term(GetFixed<uint64_t>(&bytes[24]));
  header.commit = raft::Index(GetFixed<uint64_t>(&bytes[32]));
  header.previous_end = FilePosition(GetFixed<uint64_t>(&bytes[40]));
  header.durable = FilePosition(GetFixed<uint64_t>(&bytes[48]));
  header.base = (GetFixed<uint32_t>(&bytes[56]) & kBaseFlag) != 0;
  const bool plausible = header.first.value() >= 1 && header.first.value() <= kMaxIndex &&
                         header.sequence <= kMaxIndex;
  return plausible ? Soundness::kSound : Soundness::kDamaged;
}

std::string SegmentFileName(uint64_t sequence) { return "log-" + Hex(sequence); }

std::optional<uint64_t> ParseSegmentName(std::string_view file_name) {
  constexpr std::string_view kPrefix = "log-";
  if (!file_name.starts_with(kPrefix)) return std::nullopt;
  return ParseHex(file_name.substr(kPrefix.size()));
}

void AppendRecord(std::string& out, const RecordPlace& place, const Record& record) {
  const size_t begin = out.size();
  AppendFixed<uint32_t>(out, 0);
  AppendFixed<uint32_t>(out, static_cast<uint32_t>(record.data.size()));
  AppendFixed<uint64_t>(out, record.index.value());
  AppendFixed<uint64_t>(out, record.term.value());
  AppendFixed<uint64_t>(out, record.commit.value());
  AppendFixed<uint64_t>(out, record.durable.value());
  AppendFixed<uint64_t>(out, static_cast<uint64_t>(record.type));
  out.append(record.data);
  PutFixed<uint32_t>(&out[begin], RecordCrc(place, std::string_view(out).substr(begin + 4)));
}

bool TakeRecord(std::string_view in, const RecordPlace& place, Record& record) {
  if (in.size() < kRecordHeaderBytes) return false;
  const auto length = GetFixed<uint32_t>(&in[4]);
  const auto index = GetFixed<uint64_t>(&in[8]);
  const auto durable = GetFixed<uint64_t>(&in[32]);
  const auto type = GetFixed<uint64_t>(&in[40]);
  // Cheap refusals first: a reader that looks for records behind damage asks at every byte.
  if (type > static_cast<uint64_t>(RecordType::kMark) || durable > place.position.value() ||
      index > kMaxIndex || length > limits::kMaxRaftEntryBytes ||
      length > in.size() - kRecordHeaderBytes) {
    return false;
  }
  const std::string_view whole = in.substr(0, kRecordHeaderBytes + length);
  if (GetFixed<uint32_t>(&in[0]) != RecordCrc(place, whole.substr(4))) return false;
  record.index = raft::Index(index);
  record.term = raft::Term(GetFixed<uint64_t>(&in[16]));
  record.commit = raft::Index(GetFixed<uint64_t>(&in[24]));
  record.durable = FilePosition(durable);
  record.type = static_cast<RecordType>(type);
  record.data = whole.substr(kRecordHeaderBytes);
  return true;
}

}  // namespace bascule::raft_store
